// A page that could not be shown now: it asks for itself again, each browser at a moment of its own.
const form = document.getElementById("again");
const seconds = Number(form.dataset.seconds);
if (seconds) setTimeout(() => form.requestSubmit(), seconds * (750 + Math.random() * 500));
