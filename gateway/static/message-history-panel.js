/**
 * <message-history-panel>: the complete history of one lead, for any frontend.
 *
 *   <script type="module" src="https://recado.example/static/message-history-panel.js"></script>
 *   <message-history-panel lead-id="…" src="https://recado.example" lang="pt-BR"></message-history-panel>
 *
 * Attributes: lead-id, instance-id (only this number), src (address of the gateway; default: the page's
 * own), lang (pt-BR or en; default: the browser's).
 * Properties: token (a bearer token) or getToken (an async function that gives one); with neither, the
 * cookie of the inbox is used.
 * A page with several panels gives them one `feed`: new Feed(new Gateway(src, getToken)), run(signal).
 * Methods: reload(), jumpTo(messageId), jumpToDate("2026-11-22").
 * Events: recado-loaded {leadId, total}, recado-message {leadId, message}, recado-error {status, code, detail}.
 * Theming: CSS custom properties --recado-* (see `STYLE`) and the parts header, notice, list, message,
 * bubble, button.
 */

const PAGE = 50;
/** Who reads on gets more at a time: 10,000 messages are less than a minute's share of requests. */
const PAGE_ON = 150;
/** Messages that are drawn, or left out of sight, together. */
const PART = 60;
const PREFIX = "/api/v1/whatsapp";
const MEDIA = ["image", "video", "audio", "document", "sticker", "media_placeholder"];
const SIGNS = ["📷", "🎥", "🎤", "🎵", "📄", "🏷️", "📎"];
const FORMATS = ["html", "csv", "txt", "jsonl"];
const STREAM_PAUSE_MS = [1000, 30000];
const AGAIN_MS = 5000;
/** The gateway gives a sign of life every 15 s: a stream that is silent for longer is a connection that is gone. */
const SILENCE_MS = 40000;
/** How long a conversation waits for its stream before it is shown without. */
const READY_MS = 1000;
/** How long what is shown again is held in its place. */
const SETTLE_MS = 1000;
/** Marks of direction in a name: "nota \u202Efdp.exe" would read as a PDF. */
const DIRECTION_MARKS = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const TEXTS = {
  "pt-BR": {
    history: "Histórico de mensagens", messages: n => n === 1 ? "1 mensagem" : `${number(n, "pt-BR")} mensagens`,
    loadOlder: "Carregar mais", loadNewer: "Carregar mais recentes", loading: "Carregando…",
    newest: "Ir para a mais recente", arrived: n => n === 1 ? "1 nova mensagem" : `${n} novas mensagens`,
    empty: "Nenhuma mensagem ainda.", choose: "Escolha uma conversa.", failed: "Não foi possível carregar.",
    again: "Tentar de novo", today: "Hoje", yesterday: "Ontem", search: "Buscar na conversa",
    searchFor: "Palavras a buscar", close: "Fechar", noHits: "Nada encontrado.", hits: n => n === "1" ? "1 resultado" : `${n} resultados`,
    jump: "Ir para a data", sync: "Sincronizar", syncing: "Sincronizando…", synced: n => `Sincronizado: ${n} mensagens recuperadas.`,
    syncFailed: "A sincronização falhou", export: "Exportar", menu: "Mais ações",
    formats: { html: "Página para ler e imprimir", csv: "Planilha (CSV)", txt: "Texto, como o WhatsApp exporta", jsonl: "Dados (JSON Lines)" },
    status: { pending: "pendente", sent: "enviada", delivered: "entregue", read: "lida", played: "reproduzida", failed: "falhou" },
    kinds: { image: "Imagem", video: "Vídeo", audio: "Áudio", voice: "Mensagem de voz", document: "Documento", sticker: "Figurinha", media_placeholder: "Mídia", location: "Localização", contacts: "Contatos", order: "Pedido", interactive: "Resposta", button: "Botão", call: "Chamada", system: "Aviso", unsupported: "Mensagem não suportada", unknown: "Mensagem", request_welcome: "Início da conversa", template: "Modelo" },
    notArchived: "arquivo ainda não disponível", open: "Abrir arquivo", edited: "editada", before: "Antes",
    deleted: "Mensagem apagada", reply: "Em resposta a", replyMissing: "uma mensagem anterior", missing: "Essa mensagem não está neste histórico.", forwarded: "Encaminhada",
    stub: "Enviada por outro sistema; o texto não é conhecido.", imported: "histórico importado", automatic: "automática",
    initial: "primeiro contato", you: "Empresa", reacted: (who, emoji) => `${who} reagiu com ${emoji}`, map: "Ver no mapa",
    unnamed: "Sem nome", coverage: "O que se conhece desta conversa", live: "ao vivo", offline: "sem conexão ao vivo",
    items: n => n === 1 ? "1 item" : `${n} itens`, nothingThen: "Nada nessa data ou depois dela.",
    reasons: {
      NOT_FOUND: "Não foi encontrado, ou este acesso não o mostra.", PERMISSION_DENIED: "Este acesso não permite isso.",
      UNAUTHENTICATED: "Não há acesso, ou ele terminou: entre de novo.", RESOURCE_EXHAUSTED: "Muitos pedidos seguidos: espere um pouco.",
      INVALID_ARGUMENT: "O pedido não está certo: confira o endereço.", UNAVAILABLE: "O servidor não responde no momento.", DEADLINE_EXCEEDED: "O servidor demorou demais para responder.",
    },
  },
  en: {
    history: "Message history", messages: n => n === 1 ? "1 message" : `${number(n, "en")} messages`,
    loadOlder: "Load more", loadNewer: "Load newer", loading: "Loading…",
    newest: "Go to the newest", arrived: n => n === 1 ? "1 new message" : `${n} new messages`,
    empty: "No messages yet.", choose: "Choose a conversation.", failed: "This could not be loaded.",
    again: "Try again", today: "Today", yesterday: "Yesterday", search: "Search this conversation",
    searchFor: "Words to look for", close: "Close", noHits: "Nothing found.", hits: n => n === "1" ? "1 result" : `${n} results`,
    jump: "Jump to a date", sync: "Synchronise", syncing: "Synchronising…", synced: n => `Synchronised: ${n} messages recovered.`,
    syncFailed: "Synchronising failed", export: "Export", menu: "More actions",
    formats: { html: "Page to read and print", csv: "Spreadsheet (CSV)", txt: "Text, as WhatsApp exports it", jsonl: "Data (JSON Lines)" },
    status: { pending: "pending", sent: "sent", delivered: "delivered", read: "read", played: "played", failed: "failed" },
    kinds: { image: "Image", video: "Video", audio: "Audio", voice: "Voice message", document: "Document", sticker: "Sticker", media_placeholder: "Media", location: "Location", contacts: "Contacts", order: "Order", interactive: "Answer", button: "Button", call: "Call", system: "Notice", unsupported: "Unsupported message", unknown: "Message", request_welcome: "Start of the conversation", template: "Template" },
    notArchived: "file not available yet", open: "Open file", edited: "edited", before: "Before",
    deleted: "Message deleted", reply: "In reply to", replyMissing: "an earlier message", missing: "This message is not in this history.", forwarded: "Forwarded",
    stub: "Sent from another system; its text is not known.", imported: "imported history", automatic: "automatic",
    initial: "first contact", you: "Business", reacted: (who, emoji) => `${who} reacted with ${emoji}`, map: "See on a map",
    unnamed: "No name", coverage: "What is known of this conversation", live: "live", offline: "no live connection",
    items: n => n === 1 ? "1 item" : `${n} items`, nothingThen: "Nothing on that day or after it.",
    reasons: {
      NOT_FOUND: "It was not found, or this access does not show it.", PERMISSION_DENIED: "This access does not allow that.",
      UNAUTHENTICATED: "There is no access, or it has ended: sign in again.", RESOURCE_EXHAUSTED: "Too many requests in a row: wait a little.",
      INVALID_ARGUMENT: "The request is not right: check the address.", UNAVAILABLE: "The server does not answer at the moment.", DEADLINE_EXCEEDED: "The server took too long to answer.",
    },
  },
};

// A type of message may be called anything, also "constructor".
for (const texts of Object.values(TEXTS)) for (const table of [texts.kinds, texts.status, texts.reasons]) Object.setPrototypeOf(table, null);

const STYLE = `
:host { --accent: var(--recado-accent, #0e6e5c); --surface: var(--recado-surface, #f6f5f1); --paper: var(--recado-paper, #ffffff);
  --ink: var(--recado-ink, #1d2326); --quiet: var(--recado-quiet, #5a646b); --line: var(--recado-line, #dcdcd4);
  --ours: var(--recado-ours, #dcefe6); --theirs: var(--recado-theirs, #ffffff); --warn: var(--recado-warn, #a3261c);
  --mark: var(--recado-mark, #ffe28a); --focus: var(--recado-focus, #1a5fd0);
  display: flex; flex-direction: column; min-height: 0; height: 100%; max-height: 100dvh; position: relative; color: var(--ink); background: var(--surface);
  font: 15px/1.45 var(--recado-font, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif); color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :host { --accent: var(--recado-accent, #5cc4a9); --surface: var(--recado-surface, #14181a);
  --paper: var(--recado-paper, #1d2326); --ink: var(--recado-ink, #eceeec); --quiet: var(--recado-quiet, #a3adb3); --line: var(--recado-line, #333b3f);
  --ours: var(--recado-ours, #17453a); --theirs: var(--recado-theirs, #262d31); --warn: var(--recado-warn, #ff9b8f);
  --mark: var(--recado-mark, #6b5610); --focus: var(--recado-focus, #8db8ff); } }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
button, input, select { font: inherit; color: inherit; }
button { background: none; border: 1px solid transparent; border-radius: 8px; padding: 6px 10px; cursor: pointer; min-height: 36px; }
button:hover { background: color-mix(in srgb, var(--ink) 8%, transparent); }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
a { color: var(--accent); }
header { display: flex; align-items: center; gap: 4px; padding: 8px 12px; background: var(--paper); border-bottom: 1px solid var(--line); }
.who { flex: 1; min-width: 0; }
h2 { margin: 0; font-size: 17px; font-weight: 650; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.facts { color: var(--quiet); font-size: 13px; display: flex; gap: 8px; flex-wrap: wrap; align-items: center; }
.badge { border: 1px solid var(--line); border-radius: 99px; padding: 0 8px; font-size: 12px; }
.icon { display: inline-grid; place-items: center; min-width: 40px; min-height: 40px; padding: 0; }
.icon[aria-haspopup] svg { stroke-width: 3.5; }
.icon svg, .tick svg { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.menu { position: absolute; right: 12px; top: 56px; z-index: 5; background: var(--paper); border: 1px solid var(--line); border-radius: 12px;
  box-shadow: 0 8px 28px #0003; padding: 6px; min-width: 260px; max-width: calc(100% - 24px); }
.menu button, .menu label { display: flex; width: 100%; text-align: left; padding: 8px 10px; gap: 8px; align-items: center; }
.menu .jump { display: flex; align-items: center; } .menu .jump button { width: auto; }
.menu h3 { margin: 8px 10px 2px; font-size: 12px; color: var(--quiet); font-weight: 600; }
.menu input { flex: 1; min-width: 0; border: 1px solid var(--line); border-radius: 8px; padding: 4px 8px; background: var(--surface); }
details.notice { background: color-mix(in srgb, var(--accent) 9%, var(--paper)); border-bottom: 1px solid var(--line); font-size: 13px; padding: 6px 14px; }
details.notice summary { cursor: pointer; }
details.notice p { margin: 4px 0; }
.searching { background: var(--paper); border-bottom: 1px solid var(--line); padding: 8px 12px; max-height: 45%; display: flex; flex-direction: column; }
.searching form { display: flex; gap: 6px; }
.searching input { flex: 1; min-width: 0; border: 1px solid var(--line); border-radius: 8px; padding: 6px 10px; background: var(--surface); }
.searching ol { list-style: none; margin: 6px 0 0; padding: 0; overflow: auto; }
.searching li button { width: 100%; text-align: left; display: block; border-radius: 8px; }
.searching time { color: var(--quiet); font-size: 12px; }
mark { background: var(--mark); color: var(--ink); border-radius: 3px; }
.progress { padding: 8px 14px; background: var(--paper); border-bottom: 1px solid var(--line); font-size: 13px; display: flex; gap: 10px; align-items: center; }
progress { flex: 1; accent-color: var(--accent); height: 8px; }
.list { flex: 1; overflow-y: auto; overscroll-behavior: contain; padding: 8px 12px 16px; min-height: 0; }
.list ol { list-style: none; margin: 0; padding: 0; content-visibility: auto; contain-intrinsic-size: auto 4000px; }
.more { display: block; margin: 6px auto; border-color: var(--line); background: var(--paper); }
.day { display: flex; justify-content: center; margin: 14px 0 8px; }
.day span { background: var(--paper); border: 1px solid var(--line); border-radius: 99px; padding: 2px 12px; font-size: 12px; color: var(--quiet); }
.message { display: flex; flex-direction: column; align-items: flex-start; margin: 3px 0; content-visibility: auto; contain-intrinsic-size: auto 64px; border-radius: 12px; scroll-margin: 60px; }
.message.ours { align-items: flex-end; }
.message.system { align-items: center; }
.bubble { max-width: min(78%, 620px); background: var(--theirs); border: 1px solid var(--line); border-radius: 4px 14px 14px 14px; padding: 7px 11px 5px; overflow-wrap: anywhere; }
.ours .bubble { background: var(--ours); border-radius: 14px 4px 14px 14px; }
.system .bubble { border-radius: 12px; font-size: 13px; text-align: center; color: var(--quiet); }
.message.found .bubble { animation: found 2.4s ease-out; } .found .foot { color: var(--ink); }
@keyframes found { 0%, 60% { background: var(--mark); } }
@media (prefers-reduced-motion: reduce) { .message.found .bubble { animation: none; background: var(--mark); } }
.sender { font-size: 12px; font-weight: 650; color: var(--accent); }
.text { white-space: pre-wrap; }
.quiet { color: var(--quiet); font-style: italic; }
.card { display: flex; gap: 10px; align-items: center; border: 1px solid var(--line); border-radius: 10px; padding: 8px 10px; margin: 3px 0; background: color-mix(in srgb, var(--paper) 60%, transparent); }
.card .kind { font-weight: 600; } .card small { color: var(--quiet); display: block; }
.card ul { margin: 4px 0 0; padding-left: 18px; }
img.media, video.media { max-width: 100%; max-height: 360px; border-radius: 10px; display: block; margin: 3px 0; }
blockquote { margin: 2px 0 5px; padding: 3px 9px; border-left: 3px solid var(--accent); border-radius: 4px; background: color-mix(in srgb, var(--ink) 6%, transparent); font-size: 13px; }
blockquote button { padding: 0; min-height: 0; text-align: left; border: 0; width: 100%; }
blockquote b { display: block; font-size: 12px; }
.foot { display: flex; gap: 6px; justify-content: flex-end; align-items: center; flex-wrap: wrap; font-size: 11.5px; color: var(--quiet); }
.ours .foot { color: color-mix(in srgb, var(--quiet) 85%, var(--ink)); }
.tick { display: inline-flex; } .tick.read, .tick.played { color: var(--focus); } .tick.failed { color: var(--warn); }
.reason { color: var(--warn); font-size: 13px; }
.reactions { display: flex; gap: 4px; margin: -3px 8px 2px; flex-wrap: wrap; }
.reactions span { background: var(--paper); border: 1px solid var(--line); border-radius: 99px; padding: 0 7px; font-size: 14px; }
.revisions summary { cursor: pointer; font-size: 12px; color: var(--quiet); }
.revisions p { margin: 3px 0; font-size: 13px; white-space: pre-wrap; }
.float { position: absolute; bottom: 16px; left: 50%; transform: translateX(-50%); background: var(--accent); color: var(--paper); border-radius: 99px; padding: 6px 16px; box-shadow: 0 4px 14px #0004; z-index: 4; }
.float:hover { background: var(--accent); filter: brightness(1.1); }
.state { text-align: center; color: var(--quiet); padding: 32px 16px; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 520px) { .bubble { max-width: 88%; } header { padding: 6px; } }
@media print { header, .searching, .progress, .more, .float { display: none; } .list { overflow: visible; } }
`;

const ICONS = {
  search: "M11 4a7 7 0 1 0 0 14a7 7 0 0 0 0-14M20 20l-4-4",
  sync: "M4 12a8 8 0 0 1 14-5l2 2M20 4v5h-5M20 12a8 8 0 0 1-14 5l-2-2M4 20v-5h5",
  menu: "M12 5h.01M12 12h.01M12 19h.01",
  close: "M6 6l12 12M18 6L6 18",
  sent: "M5 12l4 4L19 7",
  delivered: "M2 12l4 4L15 7M10 15l1 1L21 7",
  pending: "M12 4a8 8 0 1 0 0 16a8 8 0 0 0 0-16M12 8v4l3 2",
  failed: "M12 4a8 8 0 1 0 0 16a8 8 0 0 0 0-16M12 8v5M12 16v.01",
};

/** Make an element: h("p", {class: "x", onclick}, "text", child). Data only ever becomes text. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}

function icon(name, size = 20) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true" })) svg.setAttribute(key, value);
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

function number(value, language) { return new Intl.NumberFormat(language).format(value); }

/** What the gateway refused: a problem document (RFC 9457). */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || `HTTP ${status}`);
    this.status = status;
    this.code = problem.code || "";
  }
}

/** Asks the gateway: with a bearer token where there is one, else with the cookie of the inbox. */
export class Gateway {
  constructor(base = "", giveToken = async () => null) {
    this.base = base.replace(/\/$/, "");
    this.giveToken = giveToken;
    /** Called when the limit is reached, and what was asked waits for it. */
    this.onWait = () => {};
  }

  async fetch(path, { query = {}, headers = {}, ...how } = {}) {
    const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined));
    const token = await this.giveToken();
    for (;;) {
      const answer = await this.ask(path, asked, token, headers, how);
      if (answer.ok) return answer;
      // Who reads faster than the limit allows waits, and goes on.
      const pause = Number(answer.headers.get("Retry-After"));
      if (answer.status !== 429 || !(pause > 0 && pause <= 60)) throw new Refused(answer.status, await answer.json().catch(() => ({})));
      this.onWait();
      await new Promise(done => setTimeout(done, pause * 1000));
      how.signal?.throwIfAborted();
    }
  }

  ask(path, asked, token, headers, how) {
    return fetch(`${this.base}${PREFIX}${path}${asked.size ? `?${asked}` : ""}`, {
      credentials: token ? "omit" : "same-origin",
      ...how,
      headers: { "X-Recado-Request": "1", ...(token ? { Authorization: `Bearer ${token}` } : {}), ...headers },
    });
  }

  async get(path, query, signal) { return (await this.fetch(path, { query, signal })).json(); }

  async post(path, body) {
    return (await this.fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();
  }

  /**
   * Call `onEvent(name, data)` for every event of the stream until `signal` aborts, going on where it broke
   * off. `onState(isLive)` tells when it breaks and when it is back. Throws what the gateway refuses for good.
   * A page out of sight does without: a browser has six connections to an address, for all its windows.
   */
  async listen(query, { onEvent, onState = () => {}, signal }) {
    let lastId = "";
    let pause = STREAM_PAUSE_MS[0];
    let isRefused = false;
    let wasLive = false;
    while (!signal.aborted) {
      await inSight(signal);
      const hiding = new AbortController();
      const either = AbortSignal.any([signal, hiding.signal]);
      document.addEventListener("visibilitychange", () => { if (document.hidden) hiding.abort(); }, { signal: either });
      try {
        const answer = await this.fetch("/conversations/stream", { query, signal: either, headers: lastId ? { "Last-Event-ID": lastId } : {} });
        onState(true);
        // What came since the last time, nobody can say.
        if (wasLive && !lastId) onEvent("reset", {});
        wasLive = true;
        isRefused = false;
        pause = STREAM_PAUSE_MS[0];
        for await (const event of events(answer.body)) {
          if (event.id) lastId = event.id;
          if (event.event) onEvent(event.event, JSON.parse(event.data || "{}"));
        }
      } catch (error) {
        if (signal.aborted) return;
        if (hiding.signal.aborted) { onState(false); continue; }
        if (error instanceof Refused && error.status === 400 && lastId) { lastId = ""; continue; }
        if (error instanceof Refused && [401, 403, 404].includes(error.status)) {
          // A token that has just expired may have a successor: it is asked for once more.
          if (isRefused || error.status !== 401) { onState(false); throw error; }
          isRefused = true;
        }
      } finally { hiding.abort(); }
      onState(false);
      await new Promise(done => setTimeout(done, pause * (0.5 + Math.random() / 2)));
      pause = Math.min(pause * 2, STREAM_PAUSE_MS[1]);
    }
  }
}

/** Wait until the page is in sight, or nobody waits any more. */
async function inSight(signal) {
  while (document.hidden && !signal.aborted) {
    await new Promise(done => {
      signal.addEventListener("abort", done, { once: true });
      document.addEventListener("visibilitychange", done, { once: true });
    });
  }
}

/** One stream of everything for all parts of a page, each of which listens as it would to the gateway. */
export class Feed {
  constructor(gateway) {
    this.gateway = gateway;
    this.listeners = new Set();
    this.isLive = false;
  }

  /** Run the stream until `signal` aborts. Throws what the gateway refuses for good. */
  run(signal) {
    const each = act => { for (const listener of [...this.listeners]) act(listener); };
    return this.gateway.listen({}, {
      signal,
      onState: isLive => { this.isLive = isLive; each(listener => listener.onState?.(isLive)); },
      onEvent: (name, data) => each(listener => listener.onEvent(name, data)),
    });
  }

  async listen(_query, listener) {
    this.listeners.add(listener);
    listener.signal.addEventListener("abort", () => this.listeners.delete(listener), { once: true });
    if (!this.isLive) return;
    listener.onState?.(true);
    listener.onEvent("ready", {});
  }
}

/** Read server-sent events from a body, until it ends or nothing comes any more. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const silence = setTimeout(() => reader.cancel(), SILENCE_MS);
    const { value, done } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    held += value;
    let end;
    while ((end = held.indexOf("\n\n")) >= 0) {
      const event = {};
      for (const line of held.slice(0, end).split("\n")) {
        const colon = line.indexOf(":");
        if (colon > 0) event[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
      }
      held = held.slice(end + 2);
      yield event;
    }
  }
}

export function languageOf(attribute) {
  const wanted = [attribute, ...navigator.languages].find(found => /^(pt|en)\b/i.test(found || "")) || "en";
  return /^pt/i.test(wanted) ? "pt-BR" : "en";
}

/** Whether only statuses tell of a message: another system has sent it. */
function isStub(message) { return message.type === "unknown" && !message.body && message.direction === "OUTBOUND"; }

/** The line by which a list shows a message. */
export function lineOf(message, language) {
  const texts = TEXTS[language];
  if (message.revokedAt) return texts.deleted;
  if (isStub(message)) return texts.stub;
  const kind = texts.kinds[message.type];
  if (!message.body) return kind && message.type !== "text" ? kind : "";
  return SIGNS.includes(message.body) && kind ? `${message.body} ${kind}` : message.body;
}

// One message

function order(one, other) {
  return one.timestamp === other.timestamp ? (one.id < other.id ? -1 : 1) : Date.parse(one.timestamp) - Date.parse(other.timestamp) || (one.timestamp < other.timestamp ? -1 : 1);
}

function nameOf(party, texts) { return plain(party.name) || party.number || party.userId || texts.unnamed; }

/** A name without the marks that would have it read otherwise than it is. */
export function plain(name) { return (name || "").replace(DIRECTION_MARKS, ""); }

class Bubbles {
  constructor(panel) { this.panel = panel; }

  get texts() { return TEXTS[this.panel.language]; }

  make(message) {
    const { texts } = this;
    const isSystem = message.type === "system";
    const isOurs = message.direction === "OUTBOUND";
    const who = isOurs ? nameOf(message.from, { unnamed: texts.you }) : nameOf(message.from, texts);
    const time = this.panel.clock.format(new Date(message.timestamp));
    const item = h("li", {
      class: `message ${isSystem ? "system" : isOurs ? "ours" : "theirs"}`, part: "message", tabindex: "-1",
      "data-id": message.id, "aria-label": `${who}, ${time}: ${lineOf(message, this.panel.language).slice(0, 500)}`,
    });
    const bubble = h("div", { class: "bubble", part: "bubble" });
    if (this.panel.isGroup && !isOurs) bubble.append(h("div", { class: "sender" }, nameOf(message.from, texts)));
    if (message.revokedAt) bubble.append(h("div", { class: "quiet" }, texts.deleted));
    else bubble.append(...this.quote(message), ...this.content(message));
    if (message.revisions?.length) bubble.append(this.revisions(message));
    bubble.append(this.foot(message, time));
    item.append(bubble);
    if (message.reactions.length) item.append(this.reactions(message));
    const { body, content, type, from, revokedAt, revisions, mediaUrl } = message;
    /** All but the foot and the reactions, to know whether only these have changed. */
    item.words = JSON.stringify([body, content, type, from, revokedAt, revisions, mediaUrl, bubble.querySelector("blockquote")?.textContent]);
    return item;
  }

  quote(message) {
    const { texts } = this;
    const context = message.context;
    const parts = [];
    if (context?.forwarded || context?.frequently_forwarded) parts.push(h("div", { class: "foot" }, texts.forwarded));
    if (!context?.messageId) return parts;
    const target = this.panel.byId.get(context.messageId)?.message;
    parts.push(h("blockquote", {}, h("button", { type: "button", "data-jump": context.messageId },
      target ? h("span", { class: "sr" }, `${texts.reply}: `) : null,
      h("b", {}, target ? (target.direction === "OUTBOUND" ? texts.you : nameOf(target.from, texts)) : texts.reply),
      target ? lineOf(target, this.panel.language).slice(0, 160) : texts.replyMissing)));
    return parts;
  }

  content(message) {
    const { texts } = this;
    const content = message.content || {};
    if (isStub(message)) return [h("div", { class: "quiet" }, texts.stub)];
    if (MEDIA.includes(message.type)) return this.media(message, content[message.type] || {});
    switch (message.type) {
      case "location": return [this.location(message, content.location || {})];
      case "contacts": return [this.card("contacts", null, this.listed(content.contacts, card => this.contact(card || {})))];
      case "order": return [this.card("order", content.order?.text, this.listed(content.order?.product_items, item => `${item.quantity ?? 1} × ${item.product_retailer_id ?? "?"}${item.item_price ? ` · ${this.price(item)}` : ""}`))];
      case "call": return [this.card("call", null, this.listed(content.calls, event => [event.event || event.status, event.duration ? `${event.duration} s` : ""].filter(Boolean).join(" · ")))];
      case "interactive": case "button": return [h("div", { class: "foot" }, texts.kinds[message.type]), this.text(message.body)];
      case "text": case "system": return [this.text(message.body)];
      default: return [this.card(texts.kinds[message.type] ? message.type : null, message.body, null, message.type)];
    }
  }

  text(body) { return h("div", { class: "text", dir: "auto" }, body || ""); }

  card(kind, body, list = null, name = "") {
    return h("div", { class: "card" }, h("div", {}, h("span", { class: "kind" }, this.texts.kinds[kind] || name), body ? this.text(body) : null, list));
  }

  listed(items, line) {
    if (!Array.isArray(items) || !items.length) return null;
    return h("ul", {}, ...items.slice(0, 20).map(item => h("li", { dir: "auto" }, line(item) || "—")));
  }

  contact(card) {
    const each = (list, key) => (Array.isArray(list) ? list.map(found => found?.[key]) : []);
    return [card.name?.formatted_name, card.org?.company, ...each(card.phones, "phone"), ...each(card.emails, "email")].filter(Boolean).map(plain).join(" · ");
  }

  price(item) {
    try {
      return new Intl.NumberFormat(this.panel.language, { style: "currency", currency: item.currency }).format(item.item_price);
    } catch { return `${item.item_price} ${item.currency ?? ""}`; }
  }

  location(message, place) {
    const has = Number.isFinite(place.latitude) && Number.isFinite(place.longitude);
    const address = `https://www.openstreetmap.org/?mlat=${place.latitude}&mlon=${place.longitude}#map=16/${place.latitude}/${place.longitude}`;
    return h("div", { class: "card" }, h("div", {}, h("div", { class: "kind" }, this.texts.kinds.location),
      place.name || place.address ? this.text([place.name, place.address].filter(Boolean).join("\n")) : null,
      has ? h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, `${this.texts.map} (${place.latitude}, ${place.longitude})`) : null));
  }

  media(message, media) {
    const { texts } = this;
    const kind = message.type === "audio" && media.voice ? "voice" : message.type;
    const caption = message.body && !SIGNS.includes(message.body) && message.body !== media.filename ? message.body : null;
    const address = message.mediaUrl && /^(https?:\/\/|\/)/i.test(message.mediaUrl) ? message.mediaUrl : null;
    const parts = [];
    if (address && ["image", "sticker"].includes(message.type)) parts.push(h("img", { class: "media", loading: "lazy", src: address, alt: caption || texts.kinds[kind] }));
    else if (address && message.type === "video") parts.push(h("video", { class: "media", controls: true, preload: "none", src: address }));
    else if (address && message.type === "audio") parts.push(h("audio", { controls: true, preload: "none", src: address }));
    else {
      parts.push(h("div", { class: "card" }, h("div", {},
        h("span", { class: "kind" }, texts.kinds[kind]),
        media.filename ? h("div", { dir: "auto" }, plain(media.filename)) : null,
        h("small", {}, [media.mime_type, address ? "" : texts.notArchived].filter(Boolean).join(" · ")),
        address ? h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, texts.open) : null)));
    }
    if (caption) parts.push(this.text(caption));
    return parts;
  }

  revisions(message) {
    const { texts } = this;
    return h("details", { class: "revisions" }, h("summary", {}, texts.before),
      ...message.revisions.map(revision => h("p", { dir: "auto" }, revision.body || "—")));
  }

  foot(message, time) {
    const { texts } = this;
    const foot = h("div", { class: "foot" });
    if (["history", "chat_export"].includes(message.syncSource)) foot.append(h("span", {}, texts.imported));
    if (message.pattern) foot.append(h("span", { title: message.patternRule || "" }, texts.automatic));
    if (message.isSyncInitial) foot.append(h("span", { class: "badge" }, texts.initial));
    if (message.editedAt && !message.revokedAt) foot.append(h("span", {}, texts.edited));
    foot.append(h("time", { datetime: message.timestamp }, time));
    if (message.direction === "OUTBOUND") {
      const shape = { read: "delivered", played: "delivered" }[message.status] || message.status;
      foot.append(h("span", { class: `tick ${message.status}` }, icon(shape, 16), h("span", { class: "sr" }, texts.status[message.status])));
    }
    if (message.status === "failed" || message.errors?.length) {
      const reasons = (message.errors || []).map(error => [error?.error_data?.details || error?.title || error?.message, error?.code ? `(${error.code})` : ""].filter(Boolean).join(" "));
      if (reasons.length || message.status === "failed") foot.prepend(h("span", { class: "reason" }, reasons.join("; ") || texts.status.failed));
    }
    return foot;
  }

  reactions(message) {
    const { texts } = this;
    return h("div", { class: "reactions" }, ...message.reactions.map(reaction => {
      const said = texts.reacted(nameOf(reaction.from, texts), reaction.emoji);
      return h("span", { role: "img", "aria-label": said, title: said }, reaction.emoji);
    }));
  }
}

// The panel

export class MessageHistoryPanel extends HTMLElement {
  static observedAttributes = ["lead-id", "instance-id", "src", "lang"];

  constructor() {
    super();
    // What a page has set before this module came would hide what is set here.
    const given = name => {
      const value = Object.hasOwn(this, name) ? this[name] : null;
      delete this[name];
      return value;
    };
    this.access = { token: given("token"), getToken: given("getToken") };
    /** A Feed that the page has already; else the panel has a stream of its own. */
    this.feed = given("feed");
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = [sheet];
    this.shadowRoot.addEventListener("keydown", event => this.key(event));
    this.bubbles = new Bubbles(this);
    this.gateway = new Gateway("", async () => (this.getToken ? this.getToken() : this.token));
    this.gateway.onWait = () => this.inform(this.texts.reasons.RESOURCE_EXHAUSTED);
    this.isDenied = false;
    this.byId = new Map();
    /** By the id of a message that is not shown yet: the ids of those that quote it. */
    this.quoting = new Map();
    this.messages = [];
  }

  connectedCallback() { this.start(); }

  disconnectedCallback() { this.stop(); }

  attributeChangedCallback(name, before, now) {
    // Who has the words in another language goes on reading where they were.
    if (before !== now && this.isConnected) this.start(name === "lang" ? this.here() : null);
  }

  /** A bearer token. */
  get token() { return this.access.token; }

  set token(token) { this.admit({ token }); }

  /** An async function that gives a bearer token; it wins over `token`. */
  get getToken() { return this.access.getToken; }

  set getToken(getToken) { this.admit({ getToken }); }

  /** Take what gives access; with the first or none, or after one that had ended, all is asked again. */
  admit(given) {
    const hadNone = !(this.token || this.getToken);
    this.access = { ...this.access, ...given };
    const hasNone = !(this.token || this.getToken);
    if (this.isConnected && (hadNone !== hasNone || this.isDenied)) this.start();
  }

  get leadId() { return this.getAttribute("lead-id") || ""; }

  get leadPath() { return `/leads/${encodeURIComponent(this.leadId)}`; }

  get texts() { return TEXTS[this.language]; }

  /** Read everything anew. */
  reload() { this.start(); }

  /** With what `here()` gave: show that part again. */
  start(here = null) {
    this.stop();
    this.language = languageOf(this.getAttribute("lang"));
    this.gateway.base = (this.getAttribute("src") || "").replace(/\/$/, "");
    this.clock = new Intl.DateTimeFormat(this.language, { hour: "2-digit", minute: "2-digit" });
    this.calendar = new Intl.DateTimeFormat(this.language, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
    this.work = new AbortController();
    document.addEventListener("pointerdown", event => this.left(event.composedPath()), { signal: this.work.signal });
    this.messages = [];
    this.byId.clear();
    this.quoting.clear();
    this.heard = null;
    this.isReplacing = false;
    this.uncounted = 0;
    this.isDenied = false;
    /** What is shown, as an object of its own: an answer that was asked for before it belongs nowhere. */
    this.shown = null;
    this.settle = null;
    this.olderCursor = this.newerCursor = null;
    this.build();
    this.header.hidden = !this.leadId;
    if (!this.leadId) { this.say(this.texts.choose); return; }
    this.open(here);
  }

  stop() { this.work?.abort(); this.growth?.disconnect(); clearTimeout(this.trying); }

  build() {
    const { texts } = this;
    const button = (name, label, onclick, more = {}) => h("button", { type: "button", class: "icon", part: "button", "aria-label": label, title: label, onclick, ...more }, icon(name));
    this.title_ = h("h2", {}, "…");
    this.facts = h("div", { class: "facts" });
    this.menuButton = button("menu", texts.menu, () => this.toggleMenu(), { "aria-expanded": "false", "aria-haspopup": "true" });
    this.syncButton = button("sync", texts.sync, () => this.sync());
    this.header = h("header", { part: "header" }, h("div", { class: "who" }, this.title_, this.facts),
      button("search", texts.search, () => this.openSearch()), this.syncButton, this.menuButton);
    this.date = h("input", { type: "date", "aria-label": texts.jump, max: new Date().toLocaleDateString("sv-SE") });
    this.menu = h("div", { class: "menu", hidden: true, onfocusout: event => { if (event.relatedTarget && !this.menu.contains(event.relatedTarget)) this.left([event.relatedTarget]); } }, h("form", { class: "jump", onsubmit: event => { event.preventDefault(); if (this.date.value) this.jumpToDate(this.date.value); } },
      h("label", {}, texts.jump, this.date), button("search", texts.jump, () => {}, { type: "submit" })), h("h3", {}, texts.export),
      ...FORMATS.map(format => h("button", { type: "button", "data-format": format, onclick: () => this.download(format) }, texts.formats[format])));
    this.notice = h("details", { class: "notice", part: "notice", hidden: true });
    this.query = h("input", { type: "search", "aria-label": texts.searchFor, maxlength: "200", placeholder: texts.search });
    this.hits = h("ol", {});
    this.hitCount = h("div", { role: "status", class: "facts" });
    this.searching = h("div", { class: "searching", hidden: true, role: "search" },
      h("form", { onsubmit: event => { event.preventDefault(); this.search(); } }, this.query,
        button("search", texts.search, () => {}, { type: "submit" }), button("close", texts.close, () => this.closeSearch())), this.hitCount, this.hits);
    this.progress = h("div", { class: "progress", hidden: true, role: "status" });
    this.items = h("div", {});
    this.log = h("div", { role: "log", "aria-label": texts.history, "aria-relevant": "additions" }, this.items);
    this.older = h("button", { type: "button", class: "more", hidden: true, onclick: () => this.loadOlder() }, texts.loadOlder);
    this.newer = h("button", { type: "button", class: "more", hidden: true, onclick: () => this.loadNewer() }, texts.loadNewer);
    this.state = h("div", { class: "state", role: "status" });
    this.list = h("div", { class: "list", part: "list", tabindex: "0", "aria-label": texts.history, role: "region", onscroll: () => this.scrolled(), onwheel: () => { this.settle = null; }, onpointerdown: () => { this.settle = null; }, onclick: event => this.clicked(event) },
      this.older, this.log, this.newer, this.state);
    this.float = h("button", { type: "button", class: "float", hidden: true, onclick: () => this.goToNewest() });
    this.shadowRoot.replaceChildren(this.header, this.menu, this.notice, this.searching, this.progress, this.list, this.float);
    // What is drawn for the first time takes its true height then, and a notice takes some of the list's:
    // who reads the newest goes on seeing it.
    this.growth?.disconnect();
    this.growth = new ResizeObserver(() => { if (this.isPinned) this.list.scrollTop = this.list.scrollHeight; else this.settle?.(); });
    this.growth.observe(this.items);
    this.growth.observe(this.list);
  }

  async open(here) {
    const { signal } = this.work;
    this.say(this.texts.loading);
    try {
      const lead = await this.gateway.get(this.leadPath, {}, signal);
      this.isGroup = lead.kind === "group";
      this.isOf = lead.id;
      this.title_.textContent = plain(lead.name) || lead.number || lead.username || this.texts.unnamed;
      this.number_ = lead.number;
      // A page that is read before the stream has begun would miss what comes in between.
      await Promise.race([this.connectLive(signal), new Promise(done => setTimeout(done, READY_MS))]);
      await this.showAgain(here);
      this.cover(signal);
    } catch (error) { this.refuse(error, () => this.start()); }
  }

  read(query) {
    return this.gateway.get("/conversations/sync", { leadId: this.leadId, instanceId: this.getAttribute("instance-id"), limit: PAGE, ...query }, this.work.signal);
  }

  /**
   * Read a page newest first and show it in place of everything, unless another is asked for meanwhile.
   * What is heard until then joins it. Tells whether it is shown.
   */
  async show(query) {
    const shown = (this.shown = {});
    this.heard ??= [];
    this.isReplacing = true;
    let page;
    try { page = await this.read({ order: "desc", ...query }); } catch (error) {
      if (shown === this.shown) {
        this.older.textContent = this.texts.loadOlder;
        this.join();
      }
      throw error;
    }
    if (shown !== this.shown) return false;
    this.messages = [];
    this.byId.clear();
    this.quoting.clear();
    this.items.replaceChildren();
    this.olderCursor = page.pagination.cursor;
    this.newerCursor = page.pagination.previousCursor;
    this.arrived = 0;
    this.hasFailed = false;
    this.older.textContent = this.texts.loadOlder;
    this.quietly(() => this.insert(page.messages));
    this.count(this.totalOf(page));
    this.join();
    this.say(this.messages.length ? "" : this.texts.empty);
    this.buttons();
    this.isPinned = !query.around;
    if (this.isPinned) this.list.scrollTop = this.list.scrollHeight;
    this.tell("recado-loaded", { leadId: this.leadId, total: this.totalOf(page) });
    return true;
  }

  /** How many messages there are of the lead, or of the one number. */
  totalOf(page) { return this.getAttribute("instance-id") ? page.pagination.total : page.metadata.totalMessages; }

  /** Show what was heard while a page was on its way: the page may be older. */
  join() {
    const { heard, isReplacing } = this;
    this.heard = null;
    this.isReplacing = false;
    for (const message of heard) this.hear(message, !isReplacing);
  }

  async loadOlder() {
    if (this.heard || !this.olderCursor) return;
    const { shown } = this;
    this.heard = [];
    this.hasFailed = false;
    this.older.textContent = this.texts.loading;
    try {
      const page = await this.read({ order: "desc", limit: PAGE_ON, cursor: this.olderCursor });
      if (shown !== this.shown) return;
      this.olderCursor = page.pagination.cursor;
      this.keepingPlace(() => this.quietly(() => this.insert(page.messages)));
      this.older.textContent = this.texts.loadOlder;
    } catch (error) {
      if (shown !== this.shown) return;
      // Not again with every scroll: the button says so, and is there to try.
      this.hasFailed = true;
      this.older.textContent = `${this.texts.failed} ${this.texts.again}`;
      this.report(error);
    }
    this.join();
    this.buttons();
  }

  async loadNewer() {
    if (this.heard || !this.newerCursor) return;
    const { shown } = this;
    this.heard = [];
    try {
      const page = await this.read({ order: "asc", limit: PAGE_ON, cursor: this.newerCursor });
      if (shown !== this.shown) return;
      this.newerCursor = page.pagination.cursor;
      this.keepingPlace(() => this.quietly(() => this.insert(page.messages)));
      this.say("");
    } catch (error) {
      if (shown !== this.shown) return;
      this.refuse(error, () => this.loadNewer());
    }
    this.join();
    this.buttons();
  }

  /** Add messages, or put them in the place of what they were; each in its order, under its day. */
  insert(messages) {
    for (const message of [...messages].sort(order)) {
      const known = this.byId.get(message.id);
      if (!known) { this.place(message); continue; }
      const hasFocus = known.element.contains(this.shadowRoot.activeElement);
      known.message = message;
      if (known.stamp !== message.timestamp) { this.remove(known); this.place(message); } else this.draw(known);
      if (hasFocus) this.byId.get(message.id).element.focus({ preventScroll: true });
    }
  }

  /** Draw a message anew in its place: of a tick or a reaction, no more than that. */
  draw(entry) {
    const made = this.bubbles.make(entry.message);
    const before = entry.element;
    if (made.words === before.words) {
      before.querySelector(".bubble").lastElementChild.replaceWith(made.querySelector(".bubble").lastElementChild);
      before.querySelector(".reactions")?.remove();
      const reactions = made.querySelector(".reactions");
      if (reactions) before.append(reactions);
      return;
    }
    before.replaceWith(made);
    entry.element = made;
  }

  /** Do what adds messages that are not news: nobody is told of each. */
  quietly(change) {
    this.log.setAttribute("aria-busy", "true");
    change();
    requestAnimationFrame(() => this.log.removeAttribute("aria-busy"));
  }

  place(message) {
    const entry = { message, element: this.bubbles.make(message), stamp: message.timestamp };
    let at = 0;
    for (let end = this.messages.length; at < end;) {
      const middle = (at + end) >> 1;
      if (order(this.messages[middle].message, message) > 0) end = middle;
      else at = middle + 1;
    }
    const next = this.messages[at];
    this.messages.splice(at, 0, entry);
    this.byId.set(message.id, entry);
    const target = message.context?.messageId;
    if (target && !this.byId.has(target)) this.quoting.set(target, [...(this.quoting.get(target) || []), message.id]);
    const day = this.dayOf(message);
    const nextDay = next && this.dayOf(next.message);
    const before = at > 0 ? this.dayOf(this.messages[at - 1].message) : null;
    const isFirstOfNextDay = next && before !== nextDay;
    if (day === nextDay && day !== before) next.element.before(entry.element);
    else {
      this.put(entry.element, next && (isFirstOfNextDay ? next.element.previousElementSibling : next.element));
      if (day !== before) entry.element.before(this.separator(message));
    }
    for (const id of this.quoting.get(message.id) || []) if (this.byId.has(id)) this.draw(this.byId.get(id));
    this.quoting.delete(message.id);
  }

  /** Put an element before another, or last. A part that is not in sight costs a frame nothing, however long. */
  put(element, next) {
    const part = next ? next.parentNode : this.items.lastElementChild;
    const hasRoom = found => found && found.childElementCount < PART;
    if (next && next.previousElementSibling) { next.before(element); return; }
    const earlier = next ? part.previousElementSibling : part;
    if (hasRoom(earlier)) earlier.append(element);
    else if (next && hasRoom(part)) next.before(element);
    else {
      const made = h("ol", { "aria-label": this.texts.history }, element);
      this.items.insertBefore(made, next ? part : null);
    }
  }

  remove(entry) {
    const part = entry.element.parentNode;
    const before = entry.element.previousElementSibling;
    const after = entry.element.nextElementSibling || part.nextElementSibling?.firstElementChild;
    if (before?.classList.contains("day") && (!after || after.classList.contains("day"))) before.remove();
    entry.element.remove();
    if (!part.childElementCount) part.remove();
    this.messages.splice(this.messages.indexOf(entry), 1);
    this.byId.delete(entry.message.id);
  }

  dayOf(message) {
    const at = new Date(message.timestamp);
    return `${at.getFullYear()}-${at.getMonth()}-${at.getDate()}`;
  }

  separator(message) {
    const at = new Date(message.timestamp);
    const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86400000);
    const name = days === 0 ? this.texts.today : days === 1 ? this.texts.yesterday : this.calendar.format(at);
    return h("li", { class: "day" }, h("span", {}, name));
  }

  /** Do what changes the list while what is being read stays where it is. */
  keepingPlace(change) {
    const anchor = this.topmost();
    const before = anchor?.getBoundingClientRect().top;
    change();
    if (anchor?.isConnected) this.list.scrollTop += anchor.getBoundingClientRect().top - before;
  }

  /** Give the first message in sight. */
  topmost() {
    if (!this.messages.length) return undefined;
    const { left, top, width } = this.list.getBoundingClientRect();
    for (let y = top + 4; y < top + 200; y += 12) {
      const found = this.shadowRoot.elementFromPoint(left + width / 2, y)?.closest("li.message");
      if (found) return found;
    }
    return this.messages[0]?.element;
  }

  get isAtBottom() { return this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 80; }

  scrolled() {
    this.isPinned = this.isAtBottom && !this.newerCursor;
    if (this.list.scrollTop < 300 && !this.hasFailed) this.loadOlder();
    if (this.isAtBottom) {
      if (this.newerCursor) this.loadNewer();
      else if (this.arrived) { this.arrived = 0; this.buttons(); }
    }
    this.buttons();
  }

  buttons() {
    this.older.hidden = !this.olderCursor;
    this.newer.hidden = !this.newerCursor;
    this.float.hidden = !(this.newerCursor || this.arrived || (this.messages.length && this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight > 900));
    this.float.textContent = this.arrived ? this.texts.arrived(this.arrived) : this.texts.newest;
  }

  async goToNewest() {
    if (this.newerCursor) await this.show({}).catch(error => this.excuse(error, () => this.goToNewest()));
    this.list.scrollTop = this.list.scrollHeight;
    this.arrived = 0;
    this.buttons();
    this.list.focus();
  }

  /** Show a message in its place, with what was said around it. */
  async jumpTo(messageId) {
    try {
      if (!this.byId.has(messageId) && !await this.show({ around: messageId })) return;
    } catch (error) {
      if (error.status === 404) this.inform(this.texts.missing);
      else this.excuse(error, () => this.jumpTo(messageId));
      return;
    }
    const element = this.byId.get(messageId)?.element;
    if (!element) return;
    element.scrollIntoView({ block: "center" });
    for (const before of this.items.querySelectorAll(".found")) before.classList.remove("found");
    void element.offsetWidth;
    element.classList.add("found");
    element.focus({ preventScroll: true });
    this.buttons();
  }

  /** Show the first message of a day ("2026-11-22"), or after it. */
  async jumpToDate(day) {
    const start = new Date(`${day}T00:00:00`);
    if (Number.isNaN(start.getTime())) throw new RangeError(`no day: ${day}`);
    this.toggleMenu(false);
    try {
      const page = await this.gateway.get("/conversations/sync", { leadId: this.leadId, instanceId: this.getAttribute("instance-id"), fromDate: start.toISOString(), limit: 1 }, this.work.signal);
      if (page.messages.length) await this.jumpTo(page.messages[0].id);
      else this.inform(this.texts.nothingThen);
    } catch (error) { this.excuse(error, () => this.jumpToDate(day)); }
  }

  // Search

  openSearch() { this.searching.hidden = false; this.query.focus(); this.query.select(); }

  closeSearch() { this.searching.hidden = true; this.found = null; this.hits.replaceChildren(); this.hitCount.textContent = ""; this.list.focus(); }

  /** Look for what is typed; with a cursor, for more of the same. */
  async search(cursor = "") {
    const text = this.query.value.trim();
    if (!text) return;
    // Answers may overtake each other: the last question counts.
    const found = (this.found = {});
    const query = { q: text, leadId: this.leadId, instanceId: this.getAttribute("instance-id"), limit: 50, cursor };
    try {
      const page = await this.gateway.get("/messages/search", query, this.work.signal);
      if (found !== this.found) return;
      const { total, totalIsMinimum } = page.pagination;
      this.hitCount.textContent = total ? this.texts.hits(`${number(total, this.language)}${totalIsMinimum ? "+" : ""}`) : this.texts.noHits;
      const lines = page.messages.map(hit => this.hit(hit));
      if (cursor) this.hits.lastElementChild.replaceWith(...lines);
      else this.hits.replaceChildren(...lines);
      // The button that was pressed has made room for what it brought.
      if (cursor) lines[0]?.firstElementChild.focus();
      const next = page.pagination.cursor;
      if (next) this.hits.append(h("li", {}, h("button", { type: "button", class: "more", onclick: () => this.search(next) }, this.texts.loadOlder)));
    } catch (error) {
      if (found !== this.found || this.work.signal.aborted) return;
      this.hitCount.textContent = `${this.texts.failed} ${this.reason(error)}`;
      this.report(error);
    }
  }

  hit({ message, snippet }) {
    return h("li", {}, h("button", { type: "button", onclick: () => this.jumpTo(message.id) },
      h("time", {}, `${this.calendar.format(new Date(message.timestamp))} `),
      h("span", { dir: "auto" }, ...snippet.map(piece => (piece.match ? h("mark", {}, piece.text) : piece.text)))));
  }

  // Live

  /** Listen; resolves when what comes is heard, or cannot be. */
  connectLive(signal) {
    const isOther = data => this.feed && data.leadId && ![this.leadId, this.isOf].includes(data.leadId);
    return new Promise(begun => {
      (this.feed || this.gateway).listen({ leadId: this.leadId }, {
        signal,
        onState: isLive => {
          this.isLive = isLive;
          this.count(this.total);
          if (!isLive) begun();
        },
        onEvent: (name, data) => {
          if (name === "ready") begun();
          if (name === "reset") this.readAnew();
          if (isOther(data)) return;
          if (name === "lead") this.changed(signal);
          if (name === "message") this.hear(data.message);
        },
      }).catch(error => { begun(); this.report(error); });
    });
  }

  /** Too much has changed to be told: read again what is being looked at. */
  readAnew() { this.showAgain(this.here()).catch(error => this.refuse(error, () => this.start())); }

  /** Give what is being read, and where on the screen; null at the newest. */
  here() {
    const element = this.isPinned ? null : this.topmost();
    return element ? { id: element.dataset.id, top: this.topOf(element) } : null;
  }

  /** Read what is being read once more, and leave it where it is. */
  async showAgain(here) {
    if (!here) { await this.show({}); return; }
    if (!await this.show({ around: here.id })) return;
    const { id, top } = here;
    // What stands above takes its true height only once it is drawn: held until then, or until somebody scrolls.
    const settle = () => {
      const element = this.byId.get(id)?.element;
      if (element) this.list.scrollTop += this.topOf(element) - top;
    };
    this.settle = settle;
    settle();
    setTimeout(() => { if (this.settle === settle) this.settle = null; }, SETTLE_MS);
  }

  /** Give where an element stands in the list's window. */
  topOf(element) { return element.getBoundingClientRect().top - this.list.getBoundingClientRect().top; }

  /** Show what is told live; `isAgain` when it was shown before a page came that may be older. */
  hear(message, isAgain = false) {
    const only = this.getAttribute("instance-id");
    if (only && message.instanceId !== only) return;
    if (this.heard) {
      this.heard.push(message);
      if (this.isReplacing) return;
    }
    const isKnown = this.byId.has(message.id);
    const newest = this.messages.at(-1)?.message;
    const oldest = this.messages[0]?.message;
    if (!isKnown) {
      // It may be new, or an older one of which something has changed: the gateway knows how many there are.
      this.countSoon();
      if (!isAgain) this.uncounted += 1;
      // What lies outside of what is shown is read when somebody goes there.
      if (this.newerCursor && newest && order(message, newest) > 0) { if (!isAgain) this.arrived += 1; this.buttons(); return; }
      if (this.olderCursor && oldest && order(message, oldest) < 0) return;
    }
    const wasAtBottom = this.isPinned;
    const join = () => this.insert([message]);
    this.keepingPlace(isKnown ? () => this.quietly(join) : join);
    this.say("");
    if (wasAtBottom) this.list.scrollTop = this.list.scrollHeight;
    // What comes late, from a time that is shown already, is not at the end that the button leads to.
    else if (!isKnown && !isAgain && newest && order(message, newest) > 0) this.arrived += 1;
    this.buttons();
    if (!isAgain) this.tell("recado-message", { leadId: this.leadId, message });
  }

  countSoon() {
    clearTimeout(this.counting);
    this.counting = setTimeout(() => this.rename(this.work.signal), 500);
  }

  /** The lead has another name, or was merged with another or parted from it: then its messages are others. */
  async changed(signal) {
    const { isOf, total, uncounted } = this;
    await this.rename(signal);
    // What was heard and is counted only now is no sign of it.
    const isExplained = this.total >= total && this.total <= total + uncounted;
    if (!signal.aborted && (this.isOf !== isOf || !isExplained)) this.readAnew();
  }

  async rename(signal) {
    const lead = await this.gateway.get(this.leadPath, {}, signal).catch(() => null);
    if (!lead) return;
    this.isOf = lead.id;
    this.title_.textContent = plain(lead.name) || lead.number || lead.username || this.texts.unnamed;
    const only = this.getAttribute("instance-id");
    const counted = only ? lead.conversations.filter(found => found.instanceId === only) : lead.conversations;
    this.count(counted.reduce((sum, found) => sum + found.messageCount, 0));
  }

  // Recovery and export

  async sync() {
    this.syncButton.disabled = true;
    const { signal } = this.work;
    try {
      let sync = await this.gateway.post("/conversations/sync", { leadId: this.leadId });
      while (!["completed", "failed"].includes(sync.status)) {
        if (signal.aborted) return;
        this.progress.replaceChildren(h("span", {}, this.texts.syncing), h("progress", { max: "100", value: String(sync.percent), "aria-label": this.texts.syncing }));
        this.progress.hidden = false;
        await new Promise(done => setTimeout(done, 700));
        sync = await this.gateway.get(`/conversations/sync/${sync.syncId}`, {}, signal);
      }
      this.inform(sync.status === "completed" ? this.texts.synced(sync.messagesImported) : `${this.texts.syncFailed}: ${sync.errorMessage || ""}`);
      this.cover(signal);
    } catch (error) { if (!signal.aborted) this.inform(`${this.texts.syncFailed}: ${this.reason(error)}`); }
    if (!signal.aborted) this.syncButton.disabled = false;
  }

  /** Say that what was asked for is not to be had, where it is seen from anywhere, with a way to try again. */
  excuse(error, again) {
    if (this.work.signal.aborted) return;
    const retry = () => { this.progress.hidden = true; again(); };
    this.inform(`${this.texts.failed} ${this.reason(error)}`, h("button", { type: "button", onclick: retry }, this.texts.again));
    this.report(error);
  }

  inform(text, ...more) {
    this.progress.replaceChildren(h("span", {}, text), ...more, h("button", { type: "button", class: "icon", "aria-label": this.texts.close, onclick: () => { this.progress.hidden = true; } }, icon("close", 16)));
    this.progress.hidden = false;
  }

  async download(format) {
    this.toggleMenu(false);
    try {
      const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
      const table = format === "csv" ? { bom: "true", separator: this.language === "pt-BR" ? ";" : "," } : {};
      const answer = await this.gateway.fetch(`${this.leadPath}/export`, { query: { format, lang: this.language, timeZone: zone, instanceId: this.getAttribute("instance-id"), ...table } });
      const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") || "")?.[1] || `conversation.${format}`;
      const address = URL.createObjectURL(await answer.blob());
      const link = h("a", { href: address, download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 60000);
    } catch (error) { this.inform(this.reason(error)); }
  }

  async cover(signal) {
    const found = await this.gateway.get(`${this.leadPath}/coverage`, {}, signal).catch(() => null);
    const lines = (found?.conversations || []).map(row => h("p", {}, (found.conversations.length > 1 ? `${row.instanceName || row.displayPhoneNumber}: ` : "") + row.statement[this.language]));
    this.notice.replaceChildren(h("summary", {}, this.texts.coverage), ...lines);
    this.notice.hidden = !lines.length;
  }

  // The rest

  count(total) {
    if (this.total !== total) this.uncounted = 0;
    this.total = total;
    if (total === undefined) return;
    this.facts.replaceChildren(...[
      this.number_ ? h("span", {}, this.number_) : null,
      h("span", {}, this.texts.messages(total)),
      h("span", { class: "badge" }, this.isLive ? this.texts.live : this.texts.offline),
    ].filter(Boolean));
  }

  say(text) { clearTimeout(this.trying); this.state.textContent = text; this.state.hidden = !text; }

  refuse(error, again) {
    if (this.work.signal.aborted) return;
    this.state.replaceChildren(h("p", {}, this.texts.failed), h("p", {}, this.reason(error)), h("button", { type: "button", class: "more", onclick: again }, this.texts.again));
    this.state.hidden = false;
    clearTimeout(this.trying);
    // What is away comes back: nobody has to wait for it with a finger on the button.
    if (!(error instanceof Refused) || error.status >= 500) this.trying = setTimeout(again, AGAIN_MS);
    this.report(error);
  }

  /** Say in the reader's language why something was refused. */
  reason(error) {
    if (!(error instanceof Refused)) return this.texts.reasons.UNAVAILABLE;
    return this.texts.reasons[error.code] || (error.status >= 500 ? this.texts.reasons.UNAVAILABLE : error.message);
  }

  report(error) {
    if (error.status === 401) this.isDenied = true;
    if (!this.work.signal.aborted) this.tell("recado-error", { status: error.status || 0, code: error.code || "", detail: error.message });
  }

  tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true })); }

  toggleMenu(isOpen = this.menu.hidden) {
    this.menu.hidden = !isOpen;
    this.menuButton.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.date.focus();
    else if (this.shadowRoot.activeElement === null || this.menu.contains(this.shadowRoot.activeElement)) this.menuButton.focus();
  }

  /** Close the menu when something else is touched or takes the focus; its own button does so by itself. */
  left(touched) {
    if (this.menu.hidden || touched.includes(this.menu) || touched.includes(this.menuButton)) return;
    this.menu.hidden = true;
    this.menuButton.setAttribute("aria-expanded", "false");
  }

  clicked(event) {
    const jump = event.target.closest("[data-jump]");
    if (jump) this.jumpTo(jump.dataset.jump);
  }

  key(event) {
    const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (event.key === "Escape") {
      if (!this.menu.hidden) this.toggleMenu(false);
      else if (!this.searching.hidden) this.closeSearch();
      else return;
      event.preventDefault();
    } else if (event.key === "/" && !isTyping) { event.preventDefault(); this.openSearch(); }
    else if (!isTyping && this.list.contains(event.target)) this.walk(event);
  }

  walk(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const items = this.messages.map(entry => entry.element);
    const here = items.indexOf(event.target.closest("li.message"));
    let next;
    if (step) next = here < 0 ? items.at(-1) : items[here + step];
    else if (event.key === "Home") next = items[0];
    else if (event.key === "End") next = items.at(-1);
    else return;
    event.preventDefault();
    if (next) { next.focus({ preventScroll: true }); next.scrollIntoView({ block: "nearest" }); }
    else if (step < 0) this.loadOlder();
  }
}

if (!customElements.get("message-history-panel")) customElements.define("message-history-panel", MessageHistoryPanel);
