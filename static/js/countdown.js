// What can be tried again at a certain time: the seconds until then are counted down in place.
function count(line) {
  const until = performance.now() + Number(line.dataset.countdown) * 1000;
  const clock = line.querySelector("[data-clock]");
  const timer = setInterval(() => {
    const left = Math.ceil((until - performance.now()) / 1000);
    if (line.isConnected && left > 0) clock.textContent = new Date(left * 1000).toISOString().slice(left < 3600 ? 14 : 11, 19).replace(/^0/, "");
    else {
      clearInterval(timer);
      line.textContent = line.dataset.done;
    }
  }, 500);
}

document.addEventListener("htmx:load", ({ target }) => {
  for (const line of target.querySelectorAll("[data-countdown]")) count(line);
});
