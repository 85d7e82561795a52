// Recordings and downloads: a ticket is asked for at the click, since it is good for a minute only; a player that outlives it gets another one.
import { post } from "./session.js";
import { toast } from "./tell.js";

const say = document.body.dataset;

async function play(button) {
  const source = button.dataset.play;
  const { url } = await post(source);
  const audio = document.createElement("audio");
  audio.controls = true;
  audio.autoplay = true;
  audio.dataset.testid = "audio";
  audio.setAttribute("aria-label", button.textContent.trim());
  let failures = 0;
  audio.addEventListener("playing", () => { failures = 0; });
  audio.addEventListener("error", async () => {
    failures += 1;
    if (failures > 2) return toast(say.sayPlay, true);
    const at = audio.currentTime;
    await new Promise((resolve) => { setTimeout(resolve, failures * 1500); }); // the server may have asked to come later
    try {
      audio.src = (await post(source)).url;
      audio.currentTime = at;
      await audio.play();
    } catch {
      toast(say.sayPlay, true);
    }
    return undefined;
  });
  audio.src = url;
  button.replaceWith(audio);
  audio.focus();
}

// A download: its ticket is asked for at the click, too.
async function download(button) {
  const link = document.createElement("a");
  link.href = (await post(button.dataset.download)).url;
  link.download = "";
  document.body.append(link);
  link.click();
  link.remove();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-download]");
  if (!button) return;
  button.disabled = true;
  download(button).catch(() => toast(say.sayFault, true)).finally(() => { button.disabled = false; });
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-play]");
  if (!button) return;
  event.stopPropagation();
  button.disabled = true;
  play(button).catch(() => {
    button.disabled = false;
    toast(say.sayPlay, true);
  });
});
