// Live updates, keys, local times, copying. Every page works without it.
"use strict";
{
const $ = (id) => document.getElementById(id);
const all = (css, from = document) => from.querySelectorAll(css);
const say = JSON.parse(document.body.dataset.text);
const most = 50;

const tell = (text) => { $("said").textContent = text; };

// What the address said of language and theme is in cookies now.
const here = new URL(location), lang = document.documentElement.lang;
if (navigator.cookieEnabled && (here.searchParams.has("lang") || here.searchParams.has("theme"))) {
  here.searchParams.delete("lang");
  here.searchParams.delete("theme");
  history.replaceState(null, "", here);
}

// Times are sent in UTC and shown in the reader's zone, as the page's language or
// the reader's own kind of it writes them; UTC stands in the title.
const tongue = navigator.languages.find((l) => l.split("-")[0] === lang.split("-")[0]) ?? lang;
const clock = new Intl.DateTimeFormat(tongue, {hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false});
const older = new Intl.DateTimeFormat(tongue, {month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", hour12: false});
const moment = new Intl.DateTimeFormat(tongue, {dateStyle: "medium", timeStyle: "medium", hour12: false});
const local = (el) => {
  const at = new Date(el.dateTime);
  if (isNaN(at)) return;
  el.title = el.dateTime.replace("T", " ").replace("Z", " UTC");
  el.textContent = ("clock" in el.dataset ? Math.abs(Date.now() - at) > 72e6 ? older : clock : moment).format(at);
};
all("time").forEach(local);

for (const b of all(".copy")) {
  if (!navigator.clipboard) continue;
  b.hidden = false;
  b.onclick = async () => {
    await navigator.clipboard.writeText(b.dataset.copy);
    const was = b.textContent;
    b.textContent = say.copied;
    tell(say.copied);
    setTimeout(() => { b.textContent = was; }, 2000);
  };
}

// Single keys can be turned off, for those who speak to their computer.
const memory = (value) => {
  try {
    if (value === undefined) return localStorage.getItem("sluice.keys") !== "off";
    localStorage.setItem("sluice.keys", value ? "on" : "off");
  } catch { /* storage may be denied: keys stay on */ }
  return true;
};
const help = $("help"), single = $("single");
single.checked = memory();
single.onchange = () => { memory(single.checked); if (!single.checked) tell(say["keys.off"]); };
$("keys").hidden = false;
$("keys").onclick = () => help.showModal();

const rows = $("rows");
const move = (by) => {
  if (!rows) return;
  const links = [...all("a", rows)];
  if (!links.length) return;
  const i = links.indexOf(document.activeElement);
  const to = links[i < 0 ? 0 : Math.max(0, Math.min(links.length - 1, i + by))];
  to.focus();
  to.closest("tr").scrollIntoView({block: "nearest"});
};
document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || help.open) return;
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) && e.target.type !== "checkbox";
  if (e.key === "Escape") { document.activeElement.blur(); return; }
  if (typing || !single.checked) return;
  switch (e.key) {
  case "j": move(1); break;
  case "k": move(-1); break;
  case "p": $("pause")?.click(); break;
  case "/": $("q").focus(); $("q").select(); break;
  case "?": help.showModal(); break;
  default: {
    const link = document.querySelector(`[data-key="${CSS.escape(e.key)}"]`);
    if (!link) return;
    link.click();
  }
  }
  e.preventDefault();
});

if (rows) {
  const table = rows.closest("table"), {show, rule} = table.dataset;
  const state = $("state"), pause = $("pause");
  let paused = false, pointed = false, source = null, problem = "";
  let held = []; // rows that wait, oldest first
  let newest = Number(table.dataset.newest); // position; a new connection repeats rows
  let last = null; // the newest message

  const fill = (el, values) => {
    for (const f of all("[data-f]", el)) {
      const v = String(values[f.dataset.f] ?? "");
      if (f.textContent !== v) { f.textContent = v; if (f.hasAttribute("title")) f.title = v; }
    }
  };
  const make = (row) => {
    const tr = $("row").content.firstElementChild.cloneNode(true);
    fill(tr, row);
    tr.querySelector("a").href = "/decisions/" + encodeURIComponent(row.id);
    tr.querySelector(".act").className = "act " + row.action;
    const at = tr.querySelector("time");
    at.dateTime = row.time;
    local(at);
    tr.className = "new";
    return tr;
  };
  const wanted = (row) => (show === "all" || row.action === show) && (!rule || row.fired.includes(rule));

  const put = (stats) => {
    for (const [id, v] of Object.entries(stats.text)) {
      const el = $(id);
      if (el?.localName === "time") { el.dateTime = v; local(el); }
      else if (el && el.textContent !== v) el.textContent = v;
    }
    for (const [id, v] of Object.entries(stats.line)) $(id)?.setAttribute("points", v);
    for (const [id, [x, w]] of Object.entries(stats.bar)) {
      $(id + "-bar").setAttribute("x", x);
      $(id + "-bar").setAttribute("width", w);
    }
    for (const [id, there] of Object.entries(stats.show)) {
      if ($(id).hidden === there) {
        $(id).hidden = !there;
        if (there) tell($(id).querySelector("strong").textContent);
      }
    }
  };
  const rank = (list, rules) => {
    const body = $(list), old = new Map([...body.children].map((tr) => [tr.dataset.id, tr]));
    const next = rules.map((r) => {
      const tr = old.get(r.id) ?? $(list + "-row").content.firstElementChild.cloneNode(true);
      tr.dataset.id = r.id;
      fill(tr, r);
      const [rule, newest] = all("a", tr);
      rule.href = "/?rule=" + encodeURIComponent(r.id);
      if (newest) {
        newest.href = "/decisions/" + encodeURIComponent(r.newest);
        tr.querySelector(".act").className = "act " + r.stage;
      }
      return tr;
    });
    $("no-" + list).hidden = next.length > 0;
    // Moving a row would take it from under the focus or the pointer.
    if (body.matches(":hover") || body.contains(document.activeElement) || next.every((tr, i) => body.children[i] === tr) && body.children.length === next.length) return;
    body.replaceChildren(...next);
  };
  const holding = () => pointed || rows.contains(document.activeElement);
  const draw = () => {
    if (!paused && !holding() && held.length) {
      for (const row of held) rows.prepend(make(row));
      held = [];
      while (rows.children.length > most) rows.lastElementChild.remove();
      $("none").hidden = true;
    }
    if (!paused && last) { put(last); rank("stops", last.stops); rank("fire", last.rules); last = null; }
    const more = held.length ? ` · ${held.length >= most ? most + "+" : held.length} ${say.new}` : "";
    const word = problem || (paused ? say.paused : holding() ? say.held : say.live);
    state.textContent = word + more;
    state.className = "state " + (problem || paused ? "off" : holding() ? "held" : "");
    pause.firstElementChild.textContent = paused ? say.resume : say.pause;
    pause.setAttribute("aria-pressed", paused);
  };
  const fault = (text) => {
    if (problem !== text && (text || problem)) tell(text || say.live);
    problem = text;
    draw();
  };
  const open = () => {
    if (source) return;
    source = new EventSource("/live?lang=" + lang);
    source.onopen = () => fault("");
    source.onerror = () => fault(source?.readyState === EventSource.CLOSED ? say.full : say.lost);
    source.onmessage = (e) => {
      last = JSON.parse(e.data);
      held = held.concat(last.rows.filter((row) => row.at > newest && wanted(row))).slice(-most);
      newest = Math.max(newest, ...last.rows.map((row) => row.at));
      draw();
    };
  };
  const close = () => { source?.close(); source = null; };

  state.hidden = pause.hidden = false;
  pause.onclick = () => { paused = !paused; tell(paused ? say.paused : say.live); draw(); };
  rows.addEventListener("pointerenter", (e) => { pointed = e.pointerType === "mouse"; draw(); });
  rows.addEventListener("pointerleave", () => { pointed = false; draw(); });
  rows.addEventListener("focusin", draw);
  rows.addEventListener("focusout", () => setTimeout(draw));
  rows.addEventListener("click", (e) => {
    if (!e.target.closest("a") && !String(getSelection())) e.target.closest("tr")?.querySelector("a").click();
  });
  // A hidden page needs no updates, and a browser has few connections.
  document.addEventListener("visibilitychange", () => document.hidden ? close() : open());
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  if (!document.hidden) open();
  draw();
}
}
