// The portal around us: one SDK for all modules. Outside a portal `frame()` gives null and the page still works, without pickers.

let joined;

export function frame() {
  joined ??= window.B24Js.initializeB24Frame().catch(() => null);
  return joined;
}

// The portal gives the frame the height of its content; measured on the content itself, so that it shrinks as well.
// `most`: what is longer scrolls within the frame, where what is around it must stay within the window (a call card).
export async function fit(content, most = Infinity) {
  const b24 = await frame();
  if (!b24) return;
  let last = 0;
  const resize = () => {
    const height = Math.min(most, Math.max(360, Math.ceil(content.getBoundingClientRect().height)));
    if (Math.abs(height - last) < 2) return;
    last = height;
    b24.parent.message.send("resizeWindow", { width: "100%", height, isSafely: true }).catch(() => {});
  };
  new ResizeObserver(resize).observe(content);
  resize();
}
