// Keeps the view as it is now: whenever something has changed it is asked for again, and what differs is
// put in place. Forms are sent without leaving the view. Without this script everything works, but is
// as old as the page.
"use strict";

const TOGETHER = 60; // ms in which changes are taken together
const APART = 250; // ms between two looks
const DEAR = 10000; // ms between two looks at what is dear to make, unless somebody here did something
const TICK = 2000; // ms after which charts move on
const SAID = 4000; // ms for which something is said

let looking = false;
let again = null; // whether to look again after this look, and then whether for somebody here
let timer = 0;
let due = 0;
let last = Date.now(); // the view is as new as the page

// Asks for the view soon, and never twice at a time. `own` is for what somebody did here.
function look(own = false) {
  if (looking) { again = own || again === true; return; }
  const apart = !own && document.querySelector("[data-dear]") ? DEAR : APART;
  const at = Math.max(Date.now() + (own ? 0 : TOGETHER), last + apart);
  if (timer && due <= at) return;
  clearTimeout(timer);
  due = at;
  timer = setTimeout(ask, at - Date.now());
}

async function ask() {
  timer = 0;
  // When it is seen again, it is asked for.
  if (document.hidden) return;
  looking = true;
  last = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.ok) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    reached(true);
  } catch {
    reached(false);
  }
  looking = false;
  if (again !== null) {
    const own = again;
    again = null;
    look(own);
  }
}

function put(page) {
  document.title = page.title;
  for (const id of ["verdict", "views", "main"]) {
    const old = document.getElementById(id);
    const now = page.getElementById(id);
    if (old && now) morph(old, now);
  }
}

// Makes one tree like another with as few changes as it takes, so that focus, selection and what is being
// written stay.
function morph(old, now) {
  if (old.isEqualNode(now)) return;
  if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName || old.id !== now.id) {
    old.replaceWith(document.importNode(now, true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) { old.nodeValue = now.nodeValue; return; }
  // What somebody is filling in is theirs.
  if (old.matches("form") && (old.contains(document.activeElement) || old.dataset.touched)) return;
  for (const { name } of [...old.attributes]) {
    if (!now.hasAttribute(name) && !(name === "open" && old.matches("details"))) old.removeAttribute(name);
  }
  for (const { name, value } of now.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const kept = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let at = old.firstChild;
  for (const wanted of [...now.childNodes]) {
    const same = wanted.id && kept.get(wanted.id);
    if (same && same !== at) { old.insertBefore(same, at); morph(same, wanted); continue; }
    if (!at) { old.append(document.importNode(wanted, true)); continue; }
    // A new one among those that have names goes in between.
    if (wanted.id && !same && at.id && now.querySelector("#" + CSS.escape(at.id))) {
      old.insertBefore(document.importNode(wanted, true), at);
      continue;
    }
    const next = at.nextSibling;
    morph(at, wanted);
    at = next;
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}

function reached(yes) {
  document.getElementById("lost").hidden = yes;
}

function say(words, bad) {
  const line = document.createElement("p");
  line.textContent = words;
  if (bad) line.className = "bad";
  document.getElementById("toasts").append(line);
  setTimeout(() => line.remove(), bad ? 2 * SAID : SAID);
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post") {
    event.preventDefault();
    search(form, true);
    return;
  }
  event.preventDefault();
  if (form.dataset.asks && !confirm(form.dataset.asks)) return;
  const body = new URLSearchParams(new FormData(form));
  const button = form.querySelector("button");
  if (button) button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    if (answer.ok) {
      say(form.dataset.says || "Done");
      delete form.dataset.touched;
      if ("clears" in form.dataset) form.reset();
      else if (form.contains(document.activeElement)) document.activeElement.blur();
    } else {
      const { error } = await answer.json();
      say(`${error.message}. ${error.effect}`, true);
    }
    reached(true);
  } catch {
    reached(false);
  }
  if (button) button.disabled = false;
  look(true);
});

// A search follows what is typed and chosen.
function search(form, remember) {
  const said = [...new FormData(form)].filter(([, value]) => value !== "");
  const address = form.action.split("?")[0] + (said.length ? "?" + new URLSearchParams(said) : "");
  if (remember) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  look(true);
}

let typing = 0;
document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (!form) return;
  if (form.method === "post") { form.dataset.touched = "yes"; return; }
  clearTimeout(typing);
  typing = setTimeout(() => search(form, false), event.target.matches("[data-search]") ? 150 : 0);
});
window.addEventListener("popstate", () => location.reload());

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, textarea, select")) return;
  const field = document.querySelector("[data-search]");
  if (field) { event.preventDefault(); field.focus(); }
});

// How long ago things were goes on while nothing happens.
function ago(exact) {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(exact)) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.floor((seconds + 30) / 60)} min ago`;
  if (seconds < 129600) return `${Math.floor((seconds + 1800) / 3600)} h ago`;
  return `${Math.floor((seconds + 43200) / 86400)} days ago`;
}
setInterval(() => {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[datetime]")) {
    const words = ago(time.dateTime);
    if (!words.includes("NaN") && time.textContent !== words) time.textContent = words;
  }
  if (document.querySelector("[data-tick]") && Date.now() - last >= TICK) look();
}, TICK);

// Only a page that is seen listens: a browser has six connections to a host, and with as many pages that
// listen no other would get an answer.
let events = null;
function listen() {
  events = new EventSource("/api/v1/events");
  for (const name of ["hello", "change", "status", "phase"]) events.addEventListener(name, () => look());
  events.onerror = () => reached(false);
  events.onopen = () => reached(true);
}
document.addEventListener("visibilitychange", () => {
  if (events) events.close();
  if (document.hidden) return;
  listen();
  look(true);
});
if (!document.hidden) listen();
