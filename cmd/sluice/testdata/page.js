// What is wrong with the page as it is drawn: a list of sentences. The tests of
// pages run it in a browser.
(() => {
  const wrong = [];
  const name = (el) => {
    const text = (el.getAttribute("aria-label") || el.textContent || el.id).trim().slice(0, 30);
    return `<${el.localName}${el.className && el.className.baseVal === undefined ? "." + el.className : ""}> "${text}"`;
  };
  const there = (el) => el.checkVisibility({visibilityProperty: true}) && !el.closest(".apart, .skip");

  // Wide content must scroll in a box of its own, never the page.
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) {
    wrong.push(`the page is ${wide} px wider than the window`);
    for (const el of document.querySelectorAll("body *")) {
      if (el.getBoundingClientRect().right > innerWidth + 1 && !el.closest("pre")) wrong.push(`${name(el)} ends at ${Math.round(el.getBoundingClientRect().right)}`);
    }
  }
  // Text that is cut must be readable elsewhere: in its title.
  for (const el of document.querySelectorAll("h1, h2, h3, a, button, dt, dd, th, td, p, code, span")) {
    const style = getComputedStyle(el);
    if (there(el) && el.scrollWidth > el.clientWidth + 1 && style.overflowX === "hidden" && style.display !== "inline" && !el.title && !el.querySelector("[title]") && !el.closest("[title]")) wrong.push(`${name(el)} is cut`);
  }

  const acts = [...document.querySelectorAll("a[href], button, input, summary, select, textarea, [tabindex]")].filter(there);
  for (const el of acts) {
    if (el.tabIndex < 0 && !el.matches("main, article")) wrong.push(`${name(el)} cannot be reached by Tab`);
    if (el.tabIndex > 0) wrong.push(`${name(el)} has an order of its own`);
    if (el.tabIndex < 0) continue;
    const {width, height} = (el.closest("label") ?? el).getBoundingClientRect();
    if (width < 23.5 || height < 23.5) wrong.push(`${name(el)} is ${Math.round(width)} by ${Math.round(height)} px`);
    if (!(el.getAttribute("aria-label") || el.textContent.trim() || el.labels?.length || el.querySelector("img[alt]"))) wrong.push(`${name(el)} has no name`);
  }

  // WCAG contrast of every text with what is painted behind it.
  const rgba = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return text.startsWith("color(") ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, w, i) => sum + w * (c[i] / 255 <= 0.04045 ? c[i] / 255 / 12.92 : ((c[i] / 255 + 0.055) / 1.055) ** 2.4), 0);
  const behind = (el) => {
    const layers = [];
    for (let at = el; at; at = at.parentElement) {
      const c = rgba(getComputedStyle(at).backgroundColor);
      if (c[3] > 0) layers.push(c);
      if (c[3] === 1) break;
    }
    return layers.reduceRight((below, c) => over(c, below), [255, 255, 255, 1]);
  };
  const check = (el, style) => {
    const ground = behind(el), a = light(over(rgba(style.color), ground)), b = light(ground);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(style.fontSize);
    const least = size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5;
    if (ratio < least) wrong.push(`${name(el)} has a contrast of ${ratio.toFixed(2)}, want ${least}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let texts = new Set(); walker.nextNode();) {
    const el = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || texts.has(el) || !there(el)) continue;
    texts.add(el);
    check(el, getComputedStyle(el));
  }
  for (const el of document.querySelectorAll("input[placeholder]")) check(el, getComputedStyle(el, "::placeholder"));
  // A shape or word stands with every colour of an action.
  for (const el of document.querySelectorAll(".act")) if (there(el) && !el.textContent.trim()) wrong.push(`${name(el)} has only its colour`);

  if (document.querySelectorAll("h1").length !== 1) wrong.push("the page has not one heading");
  if (!document.title.includes("Sluice")) wrong.push("no title");
  return [...new Set(wrong)].slice(0, 30);
})()
