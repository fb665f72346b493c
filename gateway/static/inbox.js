/** The inbox: who wrote, newest first, and the panel of whom is chosen. */

import { Feed, Gateway, Refused, languageOf, lineOf, plain } from "./message-history-panel.js";

const PAGE = 50;
const HITS = 20;
const AGAIN_MS = 5000;
const TEXTS = {
  "pt-BR": {
    intro: "O histórico completo das conversas da sua empresa.", token: "Token de acesso", signIn: "Entrar", signOut: "Sair",
    tokenHint: "Quem opera o Recado emite tokens com “recado token issue”.", refused: "Este token não é aceito.", ended: "A sessão terminou: entre de novo.",
    language: "Idioma", leads: "Conversas", search: "Buscar pessoas, números e mensagens", loading: "Carregando…", none: "Nenhuma conversa ainda.",
    notFound: "Ninguém com esse nome ou número.", failed: "Não foi possível carregar.", inMessages: "Em mensagens", back: "Voltar às conversas",
    unnamed: "Sem nome", you: "Empresa: ", yesterday: "ontem", fresh: "nova mensagem", again: "Tentar de novo", more: "Carregar mais",
    away: "O servidor não responde no momento: tente de novo.", stillIn: "O servidor não respondeu: este navegador ainda não saiu. Recarregue a página e saia de novo.",
  },
  en: {
    intro: "The complete history of your business's conversations.", token: "Access token", signIn: "Sign in", signOut: "Sign out",
    tokenHint: "Whoever runs Recado issues tokens with “recado token issue”.", refused: "This token is not accepted.", ended: "The session has ended: sign in again.",
    language: "Language", leads: "Conversations", search: "Search people, numbers and messages", loading: "Loading…", none: "No conversations yet.",
    notFound: "Nobody with this name or number.", failed: "This could not be loaded.", inMessages: "In messages", back: "Back to the conversations",
    unnamed: "No name", you: "Business: ", yesterday: "yesterday", fresh: "new message", again: "Try again", more: "Load more",
    away: "The server does not answer at the moment: try again.", stillIn: "The server did not answer: this browser is still signed in. Load the page again and sign out once more.",
  },
};

const find = id => document.getElementById(id);
const gateway = new Gateway();
const feed = new Feed(gateway);
const panel = find("panel");
panel.feed = feed;
let language = languageOf(localStorage.getItem("recado-language"));
let leads = new Map();
let cursor = null;
let asked = "";
/** Who wrote since they were last read here. */
const fresh = new Set();
/** What is found in messages; an answer that was asked for before belongs to none of it. */
let hits = null;
/** The message to jump to once its lead is loaded. */
let awaited = null;
let work = new AbortController();

function button(className, onclick, ...children) {
  const element = make("button", className, ...children);
  element.type = "button";
  element.addEventListener("click", onclick);
  return element;
}

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter(child => child !== null));
  return element;
}

// Language

function speak(chosen) {
  language = chosen;
  localStorage.setItem("recado-language", chosen);
  document.documentElement.lang = chosen;
  find("language").value = chosen;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = TEXTS[chosen][element.dataset.text];
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", TEXTS[chosen][element.dataset.label]);
  find("search").placeholder = TEXTS[chosen].search;
  if (panel.getAttribute("lang") !== chosen) panel.setAttribute("lang", chosen);
  if (find("inbox").hidden) show();
  else load(asked);
}

// Session

/** Ask for the session; gives the status of the answer, 0 where there is none. */
async function session(method, body) {
  const answer = await fetch("/session", {
    method, credentials: "same-origin",
    headers: { "X-Recado-Request": "1", ...(body ? { "Content-Type": "application/json" } : {}) },
    body: body && JSON.stringify(body),
  }).catch(() => null);
  return answer?.status ?? 0;
}

/** The windows of a browser have one session: who signs out in one has signed out in all. */
const windows = new BroadcastChannel("recado-session");
windows.addEventListener("message", ({ data }) => { if (data === "out") askForToken(); else location.reload(); });

function isDone(status) { return status >= 200 && status < 300; }

function askForToken(reason = "") {
  work.abort();
  // Whoever comes next may see other people.
  leads.clear();
  fresh.clear();
  find("search").value = "";
  find("lead-list").replaceChildren();
  find("hit-list").replaceChildren();
  find("found").hidden = true;
  say("");
  panel.removeAttribute("lead-id");
  find("inbox").hidden = true;
  find("sign-in").hidden = false;
  find("sign-in-error").textContent = reason;
  find("token").focus();
}

async function enter() {
  find("sign-in").hidden = true;
  find("inbox").hidden = false;
  work.abort();
  work = new AbortController();
  listen(work.signal);
  await load("");
  follow();
}

find("sign-in-form").addEventListener("submit", async event => {
  event.preventDefault();
  const submit = event.target.querySelector("[type=submit]");
  if (submit.disabled) return;
  submit.disabled = true;
  const status = await session("POST", { token: find("token").value.trim() });
  submit.disabled = false;
  if (!isDone(status)) {
    // 429 and 5xx say nothing of the token.
    askForToken(TEXTS[language][status >= 400 && status < 429 ? "refused" : "away"]);
    return;
  }
  find("token").value = "";
  windows.postMessage("in");
  await enter();
  find("lead-list").querySelector('[tabindex="0"]')?.focus({ preventScroll: true });
});

find("sign-out").addEventListener("click", async () => {
  location.hash = "";
  askForToken();
  windows.postMessage("out");
  if (!isDone(await session("DELETE"))) askForToken(TEXTS[language].stillIn);
});

find("language").addEventListener("change", event => speak(event.target.value));

// The list

async function load(query) {
  const { signal } = work;
  if (query !== asked) find("scroller").scrollTop = 0;
  asked = query;
  say(TEXTS[language].loading);
  try {
    const page = await gateway.get("/leads", { q: query, limit: PAGE }, signal);
    if (query !== asked) return;
    leads = new Map(page.leads.map(lead => [lead.id, lead]));
    cursor = page.pagination.cursor;
    show();
    say(leads.size ? "" : TEXTS[language][query ? "notFound" : "none"]);
    await showHits(query, signal);
  } catch (error) { if (query === asked) refuse(error); }
}

async function more() {
  if (!cursor || more.isRunning) return;
  more.isRunning = true;
  const query = asked;
  try {
    const page = await gateway.get("/leads", { q: query, limit: PAGE, cursor }, work.signal);
    if (query !== asked) return;
    cursor = page.pagination.cursor;
    for (const lead of page.leads) leads.set(lead.id, lead);
    show();
    say("");
  } catch (error) { if (query === asked) refuse(error, more); } finally { more.isRunning = false; }
}

async function showHits(query, signal) {
  const found = (hits = {});
  const page = query && (await readHits(query, signal));
  if (found !== hits) return;
  find("found").hidden = !(page && page.messages.length);
  find("hit-list").replaceChildren();
  if (!page) return;
  const { total, totalIsMinimum } = page.pagination;
  find("hit-total").textContent = `(${new Intl.NumberFormat(language).format(total)}${totalIsMinimum ? "+" : ""})`;
  addHits(page, found, query, signal);
}

function readHits(query, signal, from = "") { return gateway.get("/messages/search", { q: query, limit: HITS, cursor: from }, signal); }

/** Add a page of hits, and the button that brings the next. */
function addHits(page, found, query, signal) {
  const list = find("hit-list");
  list.append(...page.messages.map(hit => make("li", "", hitButton(hit))));
  const from = page.pagination.cursor;
  if (!from) return;
  const item = make("li", "more", button("", async ({ currentTarget }) => {
    currentTarget.disabled = true;
    currentTarget.textContent = TEXTS[language].loading;
    try {
      const next = await readHits(query, signal, from);
      if (found !== hits) return;
      const last = item.previousElementSibling;
      item.remove();
      addHits(next, found, query, signal);
      // The button that was pressed has made room for what it brought.
      last.nextElementSibling?.firstElementChild.focus();
    } catch (error) {
      if (error instanceof Refused && error.status === 401) refuse(error);
      currentTarget.disabled = false;
      currentTarget.textContent = `${TEXTS[language].failed} ${TEXTS[language].again}`;
    }
  }, TEXTS[language].more));
  list.append(item);
}

function hitButton(hit) {
  return button("", () => open(hit.lead.id, hit.message.id),
    face(hit.lead),
    make("span", "line", make("b", "", nameOf(hit.lead)), time(hit.message.timestamp)),
    make("span", "preview whole", ...hit.snippet.map(piece => (piece.match ? make("mark", "", piece.text) : piece.text))));
}

/** Show the list as it is now. Entries stay where they can: what is pressed, read or focused is not taken away. */
function show() {
  const sorted = [...leads.values()].sort((one, other) => (other.lastMessageAt || "").localeCompare(one.lastMessageAt || ""));
  const list = find("lead-list");
  const focused = document.activeElement?.dataset?.lead;
  const before = new Map([...list.children].map(item => [item.firstElementChild.dataset.lead, item]));
  sorted.forEach((lead, at) => {
    const item = before.get(lead.id) || newEntry(lead);
    before.delete(lead.id);
    fill(item.firstElementChild, lead);
    if (list.children[at] !== item) list.insertBefore(item, list.children[at] || null);
  });
  for (const item of before.values()) item.remove();
  const current = focused || panel.getAttribute("lead-id");
  const entry = (current && list.querySelector(`[data-lead="${CSS.escape(current)}"]`)) || list.querySelector("button");
  // One stop for Tab, and the arrows within: the conversation is the next stop, however long the list.
  for (const other of list.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
  if (entry) entry.tabIndex = 0;
  // What is moved loses the focus.
  if (focused && document.activeElement !== entry) entry?.focus({ preventScroll: true });
}

function newEntry(lead) {
  const entry = button("", () => open(lead.id), face(lead),
    make("span", "line", make("b", ""), make("span", "dot", make("span", "sr")), make("time", "")), make("span", "preview"));
  entry.dataset.lead = lead.id;
  entry.tabIndex = -1;
  return make("li", "", entry);
}

function fill(entry, lead) {
  const last = lead.lastMessage;
  const write = (selector, text) => {
    const element = entry.querySelector(selector);
    if (element.textContent !== text) element.textContent = text;
  };
  write(".face", letterOf(lead));
  write("b", nameOf(lead));
  write(".dot .sr", fresh.has(lead.id) ? TEXTS[language].fresh : "");
  write("time", last ? when(last.timestamp) : "");
  write(".preview", last ? (last.direction === "OUTBOUND" ? TEXTS[language].you : "") + lineOf(last, language) : "");
  entry.querySelector("time").dateTime = last?.timestamp || "";
  entry.querySelector(".dot").hidden = !fresh.has(lead.id);
  entry.classList.toggle("fresh", fresh.has(lead.id));
  entry.setAttribute("aria-current", String(lead.id === panel.getAttribute("lead-id")));
}

function nameOf(lead) { return plain(lead.name) || lead.number || lead.username || TEXTS[language].unnamed; }

function letterOf(lead) { return ([...nameOf(lead).replace(/[^\p{L}\p{N}]/gu, "")][0] || "?").toUpperCase(); }

function face(lead) {
  const circle = make("span", "face", letterOf(lead));
  circle.setAttribute("aria-hidden", "true");
  return circle;
}

function when(timestamp) {
  const at = new Date(timestamp);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86400000);
  return days === 0 ? at.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" })
    : days === 1 ? TEXTS[language].yesterday : at.toLocaleDateString(language, { day: "2-digit", month: "2-digit", year: "2-digit" });
}

function time(timestamp) {
  const element = make("time", "", when(timestamp));
  element.dateTime = timestamp;
  return element;
}

/** Say how the list is, above it. */
function say(text, ...more) {
  clearTimeout(say.trying);
  find("lead-state").replaceChildren(text, ...more);
}

function refuse(error, again = () => load(asked)) {
  if (error.name === "AbortError") return;
  if (error instanceof Refused && error.status === 401) { askForToken(TEXTS[language].ended); return; }
  say(`${TEXTS[language].failed} ${panel.reason(error)} `, button("", again, TEXTS[language].again));
  // What is away comes back: nobody has to wait for it with a finger on the button.
  if (!(error instanceof Refused) || error.status >= 500) say.trying = setTimeout(again, AGAIN_MS);
}

let typing;
find("search").addEventListener("input", event => {
  clearTimeout(typing);
  typing = setTimeout(() => load(event.target.value.trim()), 250);
});
find("search-form").addEventListener("submit", event => { event.preventDefault(); clearTimeout(typing); load(find("search").value.trim()); });
find("scroller").addEventListener("scroll", event => {
  const { scrollHeight, scrollTop, clientHeight } = event.target;
  if (scrollHeight - scrollTop - clientHeight < 400) more();
});
find("lead-list").addEventListener("keydown", event => {
  const step = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
  const next = step && event.target.closest("li")?.[step]?.querySelector("button");
  if (!next) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});

// Live

function listen(signal) {
  feed.listen({}, {
    signal,
    onEvent: (name, data) => {
      if (name === "reset") load(asked);
      if (name === "message") hear(data.leadId, data.message);
      if (name === "lead") refresh(data.leadId);
    },
  });
  feed.run(signal).catch(refuse);
}

function hear(leadId, message) {
  const isNew = message.direction === "INBOUND" && leadId !== panel.getAttribute("lead-id") && !(leads.get(leadId)?.lastMessageAt > message.timestamp);
  if (isNew && message.id !== leads.get(leadId)?.lastMessage?.id) fresh.add(leadId);
  if (asked) { schedule(); return; }
  const lead = leads.get(leadId);
  if (!lead) { catchUp(); return; }
  const last = lead.lastMessage;
  if (!last || message.timestamp >= last.timestamp || message.id === last.id) {
    lead.lastMessage = message;
    lead.lastMessageAt = [message.timestamp, lead.lastMessageAt || ""].sort().at(-1);
    schedule();
  }
}

/** Somebody is new here: they are at the top of the list, with whoever else has written meanwhile. */
function catchUp() {
  if (catchUp.isWaiting) return;
  catchUp.isWaiting = true;
  setTimeout(async () => {
    catchUp.isWaiting = false;
    if (asked) return;
    try {
      const page = await gateway.get("/leads", { limit: PAGE }, work.signal);
      if (asked) return;
      for (const lead of page.leads) leads.set(lead.id, { ...leads.get(lead.id), ...lead });
      say("");
      show();
    } catch (error) { refuse(error); }
  }, 500);
}

/** Read a lead anew: its name has changed, or it has become part of another. */
async function refresh(leadId) {
  if (asked || !leads.has(leadId)) return;
  try {
    const lead = await gateway.get(`/leads/${leadId}`, {}, work.signal);
    if (lead.id !== leadId) { leads.delete(leadId); catchUp(); }
    leads.set(lead.id, { ...leads.get(lead.id), ...lead });
    schedule();
  } catch (error) { if (error.status === 404) { leads.delete(leadId); schedule(); } else refuse(error); }
}

/** Many messages at once are drawn once. */
function schedule() {
  if (schedule.isWaiting) return;
  schedule.isWaiting = true;
  setTimeout(() => { schedule.isWaiting = false; show(); }, 150);
}

// Which conversation: the address says it, so that it can be linked to.

function open(leadId, messageId = "") {
  const wanted = `#lead=${leadId}${messageId ? `&message=${messageId}` : ""}`;
  // What is chosen again is gone to again.
  if (location.hash === wanted) follow();
  else location.hash = wanted;
}

function follow() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const leadId = wanted.get("lead") || "";
  find("inbox").classList.toggle("reading", Boolean(leadId));
  if (!leadId) { panel.removeAttribute("lead-id"); show(); return; }
  fresh.delete(leadId);
  const messageId = wanted.get("message");
  if (panel.getAttribute("lead-id") !== leadId) {
    awaited = messageId && { leadId, messageId };
    panel.setAttribute("lead-id", leadId);
    // On a telephone the list, and with it what had the focus, has made room.
    if (find("back").checkVisibility()) find("back").focus();
  } else if (messageId) panel.jumpTo(messageId);
  show();
}

panel.addEventListener("recado-loaded", event => {
  if (awaited?.leadId !== event.detail.leadId) return;
  const { messageId } = awaited;
  awaited = null;
  panel.jumpTo(messageId);
});

addEventListener("hashchange", follow);
find("back").addEventListener("click", () => {
  const leadId = panel.getAttribute("lead-id");
  location.hash = "";
  find("inbox").classList.remove("reading");
  (find("lead-list").querySelector(`[data-lead="${CSS.escape(leadId)}"]`) || find("search")).focus();
});
panel.addEventListener("recado-error", event => { if (event.detail.status === 401) askForToken(TEXTS[language].ended); });

speak(language);
// Without an answer nobody knows who this is: the list says so, and tries again.
session("GET").then(status => (status >= 400 && status < 429 ? askForToken() : enter()));
