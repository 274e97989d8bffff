// Folded parts, the swipe of the first screen, enlarged figures, and wide tables.

// A link into a folded part opens it, and all parts around it.
function reveal(hash) {
  const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
  if (!target) return;
  for (let node = target; node; node = node.parentElement) {
    if (node.tagName === "DETAILS") node.open = true;
  }
  target.scrollIntoView();
}

addEventListener("hashchange", () => reveal(location.hash));
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) reveal(link.hash);  // the hash does not change
});
reveal(location.hash);

// Printing opens all folded parts.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const part of folded) part.open = true;
});
addEventListener("afterprint", () => { for (const part of folded) part.open = false; });

for (const figure of document.querySelectorAll(".swipe")) {
  const sides = figure.querySelector(".sides"), input = figure.querySelector("input");
  const move = () => sides.style.setProperty("--at", `${input.value}%`);
  input.hidden = false;
  sides.classList.add("live");
  input.addEventListener("input", move);
  move();
}

// A figure opens in the window's full size.
const dialog = document.createElement("dialog");
const close = Object.assign(document.createElement("button"), {type: "button", textContent: "Close"});
const large = document.createElement("div");
large.tabIndex = 0;
large.className = "large";
close.addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.append(close, large);
document.body.append(dialog);
for (const frame of document.querySelectorAll("figure .frame")) {
  const image = frame.querySelector("img");
  const title = frame.parentElement.querySelector("figcaption strong").textContent;
  const button = Object.assign(document.createElement("button"), {type: "button", className: "enlarge", textContent: "Enlarge"});
  button.setAttribute("aria-label", `Enlarge ${title}`);
  const open = () => {
    large.replaceChildren(image.cloneNode());
    dialog.setAttribute("aria-label", title);
    dialog.showModal();
  };
  button.addEventListener("click", open);
  image.addEventListener("click", open);
  frame.append(button);
}

// A hint below each table that is wider or higher than its box.
const wide = new ResizeObserver((entries) => {
  for (const {target: table} of entries) {
    const box = table.parentElement;
    const wider = box.scrollWidth > box.clientWidth + 1, higher = box.scrollHeight > box.clientHeight + 1;
    box.classList.toggle("scrolls", wider);
    box.classList.toggle("deep", higher);
    const more = [higher && `all ${table.tBodies[0].rows.length} rows ↓`, wider && "more columns →"];
    box.nextElementSibling.textContent = `Scroll for ${more.filter(Boolean).join(" and ")}`;
  }
});
for (const box of document.querySelectorAll(".box")) {
  const hint = Object.assign(document.createElement("p"), {className: "more"});
  box.after(hint);
  wide.observe(box.querySelector("table"));
}
