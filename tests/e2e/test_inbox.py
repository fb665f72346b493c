"""The inbox and the panel in a real browser, over the whole system.

Screenshots are kept in .artifacts/inbox, to be looked at.
"""

import contextlib
import functools
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error as PlaywrightError,
    Page,
    Route,
    expect,
    sync_playwright,
)

from tests import wire
from tests.e2e.stack import Stack
from tests.e2e.test_routes import post
from tests.stack.marks import Marked

ARTIFACTS = Path(__file__).parents[2] / ".artifacts" / "inbox"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# As root, without a screen, and asking nobody outside.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DAY = 86_400
COUNT = 130
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"

pytestmark = [
    pytest.mark.timeout(300),
    # CI installs one; nobody else must.
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="no Chromium on this machine"),
]


class Shop:
    """A system with a few conversations, and the address and token to see them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.address = f"http://127.0.0.1:{stack.port}/"
        scopes = "history:read history:sync leads:write"
        issued = stack.run("token", "issue", "--tenant", "padaria", "--user", "ana", "--scope", scopes)
        self.token = issued.stdout.strip()

    def write(self, wamid: str, body: str, *, at: int = wire.NOON + 40 * DAY, **how: Any) -> None:
        post(self.stack, wire.messages(wire.text(wamid, body, at=at), **how))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    marked = Marked()
    # All tests together are one user, who reads faster than people do.
    settings = {"RECADO_LIMIT_USER": "10000/minute"}
    stack = Stack(tmp_path_factory.mktemp("inbox") / "data", marked, "--no-sandbox", **settings)
    process = stack.start_and_wait()
    try:
        added = stack.run(
            *("instance", "add", "--tenant", "padaria", "--waba-id", wire.WABA_ID),
            *("--phone-number-id", wire.NUMBER_ID, "--display-phone-number", wire.BUSINESS),
        )
        assert added.returncode == 0, added.stderr
        found = Shop(stack)
        for start in range(0, COUNT, 10):
            post(
                stack,
                wire.messages(
                    *(
                        wire.text(f"w{n:03}", f"pedido número {n}", at=wire.NOON + n * DAY // 4)
                        for n in range(start, start + 10)
                    )
                ),
            )
        hostile = wire.contact("5511900001111", HOSTILE)
        post(
            stack,
            wire.messages(wire.text("h1", HOSTILE, sender="5511900001111"), contacts=[hostile]),
        )
        yield found
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        marked.kill_all()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def visit(browser: Browser, shop: Shop) -> Iterator[Callable[..., Page]]:
    """Open the inbox and sign in; a page that logs an error or breaks its own policy fails the test."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def make(*, signed_in: bool = True, **how: Any) -> Page:
        options: dict[str, Any] = {
            "viewport": {"width": 1280, "height": 800},
            "locale": "pt-BR",
            "timezone_id": "America/Sao_Paulo",
        }
        context = browser.new_context(**{**options, **how})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda told: (
                wrong.append(told.text)
                if told.type == "error" and not re.search("401|503", told.text)
                else None
            ),
        )
        page.goto(shop.address)
        if signed_in:
            page.fill("#token", shop.token)
            page.keyboard.press("Enter")
            expect(page.locator("#lead-list button").first).to_be_visible()
        return page

    yield make
    for context in contexts:
        context.close()
    assert wrong == []


def keep(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png")


def choose(page: Page, name: str) -> None:
    page.locator("#lead-list button", has_text=name).click()
    expect(page.locator("li.message").first).to_be_visible()


def shown(page: Page) -> list[str]:
    return page.locator("li.message .text").all_text_contents()


def test_only_a_good_token_signs_in_and_signing_out_forgets_it(visit: Callable[..., Page], shop: Shop):
    page = visit(signed_in=False)
    page.fill("#token", "not.a.token")
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in-error")).to_have_text("Este token não é aceito.")
    keep(page, "sign-in")

    page.fill("#token", shop.token)
    page.keyboard.press("Enter")
    expect(page.locator("#lead-list button").first).to_be_visible()
    assert shop.token not in page.evaluate("document.cookie + JSON.stringify(localStorage)")

    page.click("#sign-out")
    expect(page.locator("#token")).to_be_visible()
    page.reload()
    expect(page.locator("#token")).to_be_visible()


def test_a_person_finds_a_lead_and_reads_back_to_the_beginning(visit: Callable[..., Page]):
    page = visit()
    page.fill("#search", "ana souza")
    expect(page.locator("#lead-list button")).to_have_count(1)
    choose(page, "Ana Souza")

    expect(page.locator("li.message").last).to_contain_text(f"pedido número {COUNT - 1}")
    expect(page.locator("message-history-panel .who .facts")).to_contain_text(f"{COUNT} mensagens")
    # The newest is in sight, once everything has taken its height.
    expect(page.locator("li.message").last).to_be_in_viewport()
    keep(page, "conversation")
    assert len(shown(page)) == 50

    page.get_by_role("button", name="Carregar mais").click()
    expect(page.locator("li.message")).to_have_count(100)
    page.locator(".list").evaluate("list => { list.scrollTop = 200; }")
    expect(page.locator("li.message")).to_have_count(COUNT)
    expect(page.get_by_role("button", name="Carregar mais")).to_be_hidden()
    assert shown(page) == [f"pedido número {n}" for n in range(COUNT)]
    assert page.locator("li.day").count() == len(
        {(wire.NOON - 3 * 3600 + n * DAY // 4) // DAY for n in range(COUNT)}
    )


def test_loading_older_messages_keeps_what_is_read_in_its_place(visit: Callable[..., Page]):
    page = visit()
    choose(page, "Ana Souza")
    page.wait_for_timeout(300)
    page.locator(".list").evaluate("list => { list.scrollTop = 260; }")
    top = "element => Math.round(element.getBoundingClientRect().top)"
    text = page.locator(".text", has_text=re.compile(f"^pedido número {COUNT - 45}$"))
    watched = page.locator("li.message", has=text)
    before = watched.evaluate(top)

    expect(page.locator("li.message")).to_have_count(100)
    page.wait_for_timeout(300)

    assert abs(watched.evaluate(top) - before) <= 90


def test_a_search_hit_and_a_date_are_jumped_to(visit: Callable[..., Page]):
    page = visit()
    page.fill("#search", "NUMERO 7")
    hit = page.locator("#hit-list button").first
    expect(hit.locator("mark").first).to_have_text("número")
    keep(page, "search")
    hit.click()
    found = page.locator("li.message.found")
    expect(found).to_contain_text("pedido número 7")
    expect(found).to_be_in_viewport()

    page.get_by_role("button", name="Buscar na conversa").click()
    page.keyboard.type('"número 120"')
    page.keyboard.press("Enter")
    page.locator(".searching li button").first.click()
    expect(page.locator("li.message.found")).to_contain_text("pedido número 120")
    keep(page, "search-in-conversation")
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Mais ações").click()
    page.locator("input[type=date]").fill("2026-09-25")
    page.keyboard.press("Enter")
    expect(page.locator("li.message.found")).to_be_in_viewport()
    page.get_by_role("button", name="Ir para a mais recente").click()
    expect(page.locator("li.message").last).to_contain_text(f"pedido número {COUNT - 1}")


def test_a_live_message_appears_in_the_list_and_in_the_conversation(visit: Callable[..., Page], shop: Shop):
    page = visit()
    choose(page, "Ana Souza")
    expect(page.locator("message-history-panel .who .facts")).to_contain_text("ao vivo")

    shop.write("live-1", "acabou de chegar")
    expect(page.locator("li.message").last).to_contain_text("acabou de chegar")
    expect(page.locator("#lead-list button").first).to_contain_text("acabou de chegar")
    expect(page.locator("li.message").last).to_be_in_viewport()

    page.locator(".list").evaluate("list => { list.scrollTop = list.scrollHeight / 2; }")
    page.wait_for_timeout(300)
    shop.write("live-2", "e mais uma", at=wire.NOON + 40 * DAY + 5)
    expect(page.locator(".float")).to_have_text("1 nova mensagem")
    keep(page, "new-message")
    page.locator(".float").click()
    expect(page.locator("li.message").last).to_be_in_viewport()


def test_a_recovery_is_started_and_watched(visit: Callable[..., Page]):
    page = visit()
    choose(page, "Ana Souza")

    page.get_by_role("button", name="Sincronizar").click()

    expect(page.locator(".progress")).to_contain_text("Sincronizado", timeout=60_000)
    keep(page, "recovered")


def test_a_history_is_exported(visit: Callable[..., Page]):
    page = visit()
    choose(page, "Ana Souza")
    page.get_by_role("button", name="Mais ações").click()
    keep(page, "menu")

    with page.expect_download() as downloading:
        page.get_by_role("button", name="Planilha (CSV)").click()

    assert downloading.value.suggested_filename == "Ana-Souza.csv"
    text = Path(downloading.value.path()).read_text("utf-8-sig")
    assert "pedido número 0" in text


def test_the_language_can_be_changed_and_is_remembered(visit: Callable[..., Page]):
    page = visit()
    choose(page, "Ana Souza")

    page.locator("#language").select_option("en")

    expect(page.locator("message-history-panel .who .facts")).to_contain_text("messages")
    assert page.evaluate("document.documentElement.lang") == "en"
    page.reload()
    expect(page.locator("#sign-out")).to_have_text("Sign out")
    expect(page.locator("message-history-panel .who .facts")).to_contain_text("messages")


def test_it_is_used_on_a_phone(visit: Callable[..., Page]):
    page = visit(viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True, is_mobile=True)
    expect(page.locator("#conversation")).to_be_hidden()
    keep(page, "phone-list")
    choose(page, "Ana Souza")
    expect(page.locator("#leads")).to_be_hidden()
    page.wait_for_timeout(300)
    keep(page, "phone-conversation")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    expect(page.locator("#back")).to_be_focused()
    page.click("#back")
    expect(page.locator("#leads")).to_be_visible()
    expect(page.locator("#lead-list button", has_text="Ana Souza")).to_be_focused()


def test_it_is_used_with_the_keyboard_alone(visit: Callable[..., Page], shop: Shop):
    page = visit(signed_in=False)
    expect(page.locator("#token")).to_be_focused()
    page.keyboard.type(shop.token)
    page.keyboard.press("Enter")
    expect(page.locator("#lead-list button").first).to_be_visible()
    # Signing in leads to the list, which is one stop for Tab; the arrows go through it.
    expect(page.locator("#lead-list button").first).to_be_focused()
    for _ in range(page.locator("#lead-list button").count()):
        if "Ana Souza" in page.evaluate("document.activeElement.innerText"):
            break
        page.keyboard.press("ArrowDown")
    assert "Ana Souza" in page.evaluate("document.activeElement.innerText")
    page.keyboard.press("Enter")
    expect(page.locator("li.message").first).to_be_visible()

    focused = "document.querySelector('message-history-panel').shadowRoot.activeElement"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(f"{focused}?.classList.contains('list') ?? false"):
            break
    page.keyboard.press("End")
    assert page.evaluate(f"{focused}.matches('li.message:last-child')")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(f"{focused}.matches('li.message:nth-last-child(-n+3)')")
    page.keyboard.press("/")
    page.keyboard.type('"número 3"')
    page.keyboard.press("Enter")
    expect(page.locator(".searching li button").first).to_be_visible()
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate(f"{focused}?.matches('.searching li button') ?? false"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("li.message.found")).to_contain_text("pedido número 3")
    page.keyboard.press("Escape")


class Held:
    """Requests whose answers are kept back for a while."""

    def __init__(self, page: Page, part: str) -> None:
        self._page = page
        self._routes: list[Route] = []
        page.route(lambda address: part in address, lambda route: self._routes.append(route))

    def wait_for(self, count: int) -> None:
        for _ in range(100):
            if len(self._routes) >= count:
                return
            self._page.wait_for_timeout(50)
        raise AssertionError(f"{len(self._routes)} of {count} were asked for")

    def let_go(self, number: int) -> None:
        # The page may have given it up.
        with contextlib.suppress(PlaywrightError):
            self._routes[number].continue_()
        self._page.wait_for_timeout(300)


def test_what_is_answered_too_late_belongs_to_no_other_conversation(visit: Callable[..., Page]):
    page = visit()
    choose(page, "Ana Souza")
    older = Held(page, "cursor=")
    page.locator(".list").evaluate("list => { list.scrollTop = 0; }")
    older.wait_for(1)

    page.locator("#lead-list button", has_text="hacked").click()
    expect(page.locator("li.message")).to_have_count(1)
    older.let_go(0)

    expect(page.locator("li.message")).to_have_count(1)
    assert page.locator(".more").first.text_content() == "Carregar mais"


def test_a_page_that_is_on_its_way_does_not_follow_a_jump(visit: Callable[..., Page]):
    page = visit()
    choose(page, "Ana Souza")
    older = Held(page, "cursor=")
    page.locator(".list").evaluate("list => { list.scrollTop = 0; }")
    older.wait_for(1)

    page.get_by_role("button", name="Buscar na conversa").click()
    page.keyboard.type('"número 3"')
    page.keyboard.press("Enter")
    page.locator(".searching li button").first.click()
    expect(page.locator("li.message.found")).to_contain_text("pedido número 3")
    older.let_go(0)

    numbers = [int(text.rpartition(" ")[2]) for text in shown(page)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_of_two_jumps_the_last_one_counts_and_news_still_arrive(visit: Callable[..., Page], shop: Shop):
    page = visit()
    page.fill("#search", "NUMERO 7")
    expect(page.locator("#hit-list button").nth(5)).to_be_visible()
    hits = page.locator("#hit-list button .preview")
    last = hits.nth(5).text_content()
    around = Held(page, "around=")
    hits.nth(4).click()
    around.wait_for(1)
    hits.nth(5).click()
    around.wait_for(2)

    around.let_go(1)
    around.let_go(0)

    expect(page.locator("li.message.found .text")).to_have_text(str(last))
    shop.write("live-3", "depois dos saltos", at=wire.NOON + 41 * DAY)
    expect(page.locator(".float")).to_have_text("1 nova mensagem")


def test_who_signs_in_next_sees_nothing_of_who_was_there_before(visit: Callable[..., Page]):
    page = visit()
    choose(page, "Ana Souza")
    page.context.clear_cookies()

    page.fill("#search", "qualquer")
    expect(page.locator("#sign-in-error")).to_have_text("A sessão terminou: entre de novo.")

    assert page.locator("li.message, #lead-list li, #hit-list li").count() == 0


def test_a_session_that_ends_says_so_by_itself(visit: Callable[..., Page], shop: Shop):
    issued = shop.stack.run(
        *("token", "issue", "--tenant", "padaria", "--user", "ana", "--scope", "history:read", "--ttl", "4s")
    )
    page = visit(signed_in=False)
    page.fill("#token", issued.stdout.strip())
    page.keyboard.press("Enter")

    expect(page.locator("#sign-in-error")).to_have_text("A sessão terminou: entre de novo.", timeout=40_000)


def test_what_was_away_is_read_once_it_is_back(visit: Callable[..., Page]):
    page = visit()
    page.route("**/conversations/sync?**", lambda route: route.fulfill(status=503, body="{}"), times=1)

    page.locator("#lead-list button", has_text="Ana Souza").click()
    expect(page.locator("message-history-panel .state")).to_contain_text("Não foi possível carregar.")

    expect(page.locator("li.message").first).to_be_visible(timeout=15_000)


def test_a_quote_says_what_it_quotes_once_that_is_loaded(visit: Callable[..., Page], shop: Shop):
    quoting = wire.text("q1", "sobre aquele pedido", at=wire.NOON + 42 * DAY, context={"id": "w003"})
    post(shop.stack, wire.messages(quoting))
    page = visit()
    choose(page, "Ana Souza")
    quote = page.locator("li.message", has_text="sobre aquele pedido").locator("blockquote")
    expect(quote).to_contain_text("uma mensagem anterior")

    for _ in range(5):
        page.locator(".list").evaluate("list => { list.scrollTop = 0; }")
        page.wait_for_timeout(300)

    expect(quote).to_contain_text("pedido número 3")
    # Not with the mouse: what is drawn for the first time may still push the button away from under it.
    quote.locator("button").press("Enter")
    expect(page.locator("li.message.found")).to_contain_text("pedido número 3")


def test_who_stands_on_a_message_stays_there_when_it_changes(visit: Callable[..., Page], shop: Shop):
    page = visit()
    choose(page, "Ana Souza")
    message = page.locator("li.message", has_text=f"pedido número {COUNT - 1}").last
    message.focus()

    reaction = {"message_id": f"w{COUNT - 1:03}", "emoji": "🎉"}
    told = {"from": wire.ANA, "id": "r1", "timestamp": str(wire.NOON + 43 * DAY), "type": "reaction"}
    post(shop.stack, wire.messages({**told, "reaction": reaction}))

    expect(message.locator(".reactions")).to_contain_text("🎉")
    expect(message).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way_of_those_who_see_or_hear_otherwise(
    visit: Callable[..., Page], shop: Shop, scheme: str
):
    page = visit(signed_in=False, color_scheme=scheme)
    serious = {"critical", "serious"}

    def check(place: str) -> None:
        found = Axe().run(page).response["violations"]
        told = [
            (violation["id"], [node["target"] for node in violation["nodes"]][:3])
            for violation in found
            if violation["impact"] in serious
        ]
        assert told == [], place

    check("sign-in")
    page.fill("#token", shop.token)
    page.keyboard.press("Enter")
    choose(page, "Ana Souza")
    page.wait_for_timeout(300)
    check("conversation")
    page.get_by_role("button", name="Buscar na conversa").click()
    page.keyboard.type("pedido")
    page.keyboard.press("Enter")
    expect(page.locator(".searching li button").first).to_be_visible()
    page.get_by_role("button", name="Mais ações").click()
    check("search and menu")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """The address of another server, which serves what lies in the test's folder."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def test_a_page_of_another_address_embeds_the_panel(
    visit: Callable[..., Page], shop: Shop, elsewhere: str, tmp_path: Path
):
    asked = {"Authorization": f"Bearer {shop.token}"}
    page = visit(signed_in=False)
    leads = page.request.get(f"{shop.address}api/v1/whatsapp/leads?q=ana", headers=asked).json()["leads"]
    gateway = shop.address.rstrip("/")
    (tmp_path / "index.html").write_text(
        f"""<!doctype html><meta charset="utf-8"><title>CRM</title><link rel="icon" href="data:,">
        <script type="module" src="{gateway}/static/message-history-panel.js"></script>
        <message-history-panel id="panel" src="{gateway}" lead-id="{leads[0]["id"]}" lang="pt-BR">
        </message-history-panel>
        <script>document.getElementById("panel").getToken = async () => "{shop.token}";</script>"""
    )

    page.goto(f"{elsewhere}/index.html")

    expect(page.locator("li.message").last).to_be_visible()
    expect(page.locator("message-history-panel .facts").first).to_contain_text("ao vivo")
    # Whoever gives it no height still sees the newest first.
    expect(page.locator("li.message").last).to_be_in_viewport()
    shop.write("embedded-1", "também aqui", at=wire.NOON + 50 * DAY)
    expect(page.locator("li.message").last).to_contain_text("também aqui")
    page.get_by_role("button", name="Sincronizar").click()
    expect(page.locator(".progress")).to_contain_text("Sincronizado")
    page.get_by_role("button", name="Mais ações").click()
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="Planilha (CSV)").click()
    assert downloaded.value.suggested_filename == "Ana-Souza.csv"
    keep(page, "embedded")


def test_what_people_write_is_only_text(visit: Callable[..., Page]):
    page = visit()
    page.locator("#lead-list button", has_text="<img").click()
    expect(page.locator("li.message .text")).to_have_text(HOSTILE)
    page.wait_for_timeout(300)

    assert page.title() == "Recado"
    assert page.locator("message-history-panel img").count() == 0


def test_the_page_allows_nothing_but_its_own(visit: Callable[..., Page], shop: Shop):
    page = visit()
    answer = page.request.get(shop.address)

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
