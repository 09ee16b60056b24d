// A grid of pictures that are buttons: the mouse and the keyboard reach each of them.
function render({ model, el }) {
  el.classList.add("explorer-pictures");
  el.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Selected images, the least confident first");
  let had = false; // whether a picture had the focus before it was replaced

  const tell = (what, place) => model.send({ what, place });
  const buttons = () => [...el.querySelectorAll("button")];

  function button({ source, label, caption, colour }, place) {
    const made = document.createElement("button");
    made.type = "button";
    made.title = label;
    made.tabIndex = place ? -1 : 0; // one stop for Tab; arrow keys go on from there
    made.style.borderLeftColor = colour;
    const text = document.createElement("span");
    text.textContent = caption;
    if (source) {
      const image = new Image();
      image.src = source;
      image.alt = label;
      made.append(image);
    } else {
      made.setAttribute("aria-label", label);
      made.append("not readable");
    }
    made.append(text);
    made.onclick = () => tell("open", place);
    made.onpointerenter = made.onfocus = () => tell("point", place);
    return made;
  }

  function draw() {
    had = el.contains(document.activeElement);
    el.replaceChildren(...model.get("pictures").map(button));
    if (had) buttons()[0]?.focus();
  }

  function columns() { // of the grid, as it is laid out
    const all = buttons();
    const second = all.findIndex((one) => one.offsetTop > all[0].offsetTop);
    return second < 0 ? all.length : second;
  }

  el.addEventListener("keydown", (event) => {
    const all = buttons();
    const place = all.indexOf(document.activeElement);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() };
    const ends = { Home: 0, End: all.length - 1 };
    if (event.key === "Escape") {
      tell("clear", 0);
    } else if (event.key in steps || event.key in ends) {
      const next = all[event.key in ends ? ends[event.key] : place + steps[event.key]];
      if (next) {
        for (const one of all) one.tabIndex = one === next ? 0 : -1;
        next.focus();
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  model.on("change:pictures", draw);
  draw();
}
export default { render };
