// A call that still runs: its part of the page is replaced whenever the server sends a newer one.
"use strict";

const call = document.getElementById("call");

function replace(html) {
  const open = new Set([...call.querySelectorAll("details[open]")].map((item) => item.id));
  const focused = document.activeElement?.closest?.("#call details")?.id;
  call.innerHTML = html;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.querySelector("summary")?.focus();
}

if (call?.dataset.live) {
  const stream = new EventSource(call.dataset.live);
  stream.addEventListener("part", (event) => replace(event.data));
  stream.addEventListener("end", () => stream.close());
  window.addEventListener("pagehide", () => stream.close());
}
