// Tabs, the filter over excerpts, and the mark of the section in view. The page reads well without it.
"use strict";

// Tabs of one section move together: all charts show documents, or all show bytes.
function choose(section, name) {
  for (const views of section.querySelectorAll(".views")) {
    const tabs = [...views.querySelector(".tabs").children];
    if (!tabs.some((tab) => tab.textContent === name)) continue;
    const panels = [...views.children].filter((child) => child.classList.contains("view"));
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", tab.textContent === name);
      panels[i].hidden = tab.textContent !== name;
    });
  }
}
for (const tab of document.querySelectorAll(".tabs > button")) {
  tab.addEventListener("click", () => choose(tab.closest("section"), tab.textContent));
}

for (const filter of document.querySelectorAll(".filter")) {
  const groups = [...filter.nextElementSibling.querySelectorAll("details.excerpts")];
  const output = filter.querySelector("output");
  const button = filter.querySelector("button");
  filter.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    let shown = 0;
    for (const group of groups) {
      const named = group.querySelector("summary").textContent.toLowerCase().includes(wanted);
      let any = named;
      for (const excerpt of group.querySelectorAll(".excerpt")) {
        excerpt.hidden = !(named || excerpt.textContent.toLowerCase().includes(wanted));
        if (!excerpt.hidden) { any = true; shown += 1; }
      }
      group.hidden = !any;
      group.open = any && wanted !== "";
    }
    output.textContent = wanted ? `${shown} shown` : "";
  });
  button.addEventListener("click", () => {
    const open = groups.some((group) => !group.open);
    for (const group of groups) group.open = open;
    button.textContent = open ? "Close all" : "Open all";
  });
}

const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-10% 0px -80% 0px" });
for (const section of document.querySelectorAll("main > section")) watcher.observe(section);
