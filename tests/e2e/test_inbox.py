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
    APIResponse,
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
COUNT = 230
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
                        wire.text(f"w{n:03}", f"pedido número {n}", at=wire.NOON + n * DAY // 8)
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
                if told.type == "error" and not re.search("401|404|503", told.text)
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
    expect(page.locator("li.message")).to_have_count(200)
    page.locator(".list").evaluate("list => { list.scrollTop = 200; }")
    expect(page.locator("li.message")).to_have_count(COUNT)
    expect(page.get_by_role("button", name="Carregar mais")).to_be_hidden()
    assert shown(page) == [f"pedido número {n}" for n in range(COUNT)]
    assert page.locator("li.day").count() == len(
        {(wire.NOON - 3 * 3600 + n * DAY // 8) // DAY for n in range(COUNT)}
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

    expect(page.locator("li.message")).to_have_count(200)
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
    """Requests that are answered at once, and whose answers are kept back for a while."""

    def __init__(self, page: Page, part: str) -> None:
        self._page = page
        self._held: list[tuple[Route, APIResponse]] = []
        page.route(lambda address: part in address, self._hold)

    def _hold(self, route: Route) -> None:
        self._held.append((route, route.fetch()))

    def wait_for(self, count: int) -> None:
        for _ in range(100):
            if len(self._held) >= count:
                return
            self._page.wait_for_timeout(50)
        raise AssertionError(f"{len(self._held)} of {count} were asked for")

    def let_go(self, number: int) -> None:
        route, answer = self._held[number]
        # The page may have given it up.
        with contextlib.suppress(PlaywrightError):
            route.fulfill(response=answer)
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


def test_what_is_heard_while_older_messages_are_on_their_way_is_shown_on_them(
    visit: Callable[..., Page], shop: Shop
):
    page = visit()
    choose(page, "Ana Souza")
    older = Held(page, "cursor=")
    page.locator(".list").evaluate("list => { list.scrollTop = 0; }")
    older.wait_for(1)

    told = {"from": wire.ANA, "id": "r2", "timestamp": str(wire.NOON + 43 * DAY), "type": "reaction"}
    reacted = {**told, "reaction": {"message_id": "w100", "emoji": "🍀"}}
    post(shop.stack, wire.messages(reacted, wire.text("live-4", "e agora?", at=wire.NOON + 43 * DAY)))
    expect(page.locator("#lead-list button").first).to_contain_text("e agora?")
    older.let_go(0)

    text = page.locator(".text", has_text=re.compile("^pedido número 100$"))
    expect(page.locator("li.message", has=text).locator(".reactions")).to_contain_text("🍀")


def test_what_arrives_while_the_newest_page_is_on_its_way_is_shown(visit: Callable[..., Page], shop: Shop):
    page = visit()
    choose(page, "Ana Souza")
    page.get_by_role("button", name="Buscar na conversa").click()
    page.keyboard.type('"número 150"')
    page.keyboard.press("Enter")
    page.locator(".searching li button").first.click()
    expect(page.locator("li.message.found")).to_contain_text("pedido número 150")
    newer = Held(page, "order=asc")
    page.locator(".list").evaluate("list => { list.scrollTop = list.scrollHeight; }")
    newer.wait_for(1)

    shop.write("live-5", "no meio do caminho", at=wire.NOON + 44 * DAY)
    expect(page.locator("#lead-list button").first).to_contain_text("no meio do caminho")
    newer.let_go(0)

    expect(page.locator("li.message").last).to_contain_text("no meio do caminho")


def test_of_two_searches_the_last_one_counts_and_all_hits_can_be_reached(visit: Callable[..., Page]):
    page = visit()
    choose(page, "Ana Souza")
    page.get_by_role("button", name="Buscar na conversa").click()
    searches = Held(page, "/messages/search")
    page.keyboard.type("nada disso")
    page.keyboard.press("Enter")
    searches.wait_for(1)
    page.locator(".searching input").fill("pedido")
    page.keyboard.press("Enter")
    searches.wait_for(2)
    searches.let_go(1)
    searches.let_go(0)
    page.unroute_all()

    hits = page.locator(".searching li button")
    expect(hits).to_have_count(51)
    expect(page.locator(".searching [role=status]")).to_contain_text(re.compile(r"^2\d\d resultados$"))
    hits.last.press("Enter")
    expect(hits).to_have_count(101)
    expect(hits.nth(50)).to_be_focused()

    page.fill("#search", "pedido")
    found = page.locator("#hit-list button")
    expect(found).to_have_count(21)
    expect(page.locator("#hit-total")).to_have_text(re.compile(r"^\(2\d\d\)$"))
    found.last.dblclick()
    expect(found).to_have_count(41)
    page.wait_for_timeout(300)
    texts = page.locator("#hit-list .preview").all_text_contents()
    assert len(set(texts)) == len(texts) == 40

    page.route("**/messages/search?**", lambda route: route.fulfill(status=503, body="{}"), times=1)
    found.last.click()
    expect(found.last).to_contain_text("Tentar de novo")
    found.last.click()
    expect(found).to_have_count(61)


def test_a_question_that_fails_late_does_not_disturb_the_next(visit: Callable[..., Page]):
    page = visit()
    late: list[Route] = []
    page.route(lambda address: "q=zzz" in address, lambda route: late.append(route))
    page.fill("#search", "zzz")
    page.wait_for_timeout(500)
    page.fill("#search", "ana")
    expect(page.locator("#lead-list button")).to_have_count(1)

    for route in late:
        route.fulfill(status=503, body="{}")
    page.wait_for_timeout(6_000)

    expect(page.locator("#lead-list button")).to_have_count(1)
    expect(page.locator("#lead-state")).to_be_empty()


def test_a_hit_that_is_chosen_again_is_gone_to_again(visit: Callable[..., Page]):
    page = visit()
    page.fill("#search", '"numero 7"')
    hit = page.locator("#hit-list button").first
    hit.click()
    expect(page.locator("li.message.found")).to_be_in_viewport()
    page.locator(".list").evaluate("list => { list.scrollTop = list.scrollHeight; }")
    expect(page.locator("li.message.found")).not_to_be_in_viewport()

    hit.click()

    expect(page.locator("li.message.found")).to_be_in_viewport()


def test_what_is_quoted_and_not_there_is_said_to_be_missing(visit: Callable[..., Page], shop: Shop):
    quoting = wire.text("q2", "e o outro?", at=wire.NOON + 45 * DAY, context={"id": "of-another-system"})
    post(shop.stack, wire.messages(quoting))
    page = visit()
    choose(page, "Ana Souza")

    page.locator("li.message", has_text="e o outro?").locator("blockquote button").press("Enter")

    expect(page.locator(".progress")).to_contain_text("Essa mensagem não está neste histórico.")


def test_the_menu_closes_when_something_else_is_touched(visit: Callable[..., Page]):
    page = visit()
    choose(page, "Ana Souza")
    page.get_by_role("button", name="Mais ações").click()
    expect(page.locator(".menu")).to_be_visible()
    page.locator("li.message").last.click()
    expect(page.locator(".menu")).to_be_hidden()

    page.get_by_role("button", name="Mais ações").click()
    page.locator(".menu button").last.focus()
    page.keyboard.press("Tab")
    expect(page.locator(".menu")).to_be_hidden()


def test_the_panel_of_one_number_counts_only_its_messages(visit: Callable[..., Page], shop: Shop):
    added = shop.stack.run(
        *("instance", "add", "--tenant", "padaria", "--waba-id", wire.WABA_ID),
        *("--phone-number-id", "106540352242999", "--display-phone-number", "551140000099"),
    )
    bia: dict[str, Any] = {"sender": "5511977776666"}
    named: dict[str, Any] = {"contacts": [wire.contact("5511977776666", "Bia Lima")]}
    post(shop.stack, wire.messages(*(wire.text(f"b{n}", f"aqui {n}", **bia) for n in range(3)), **named))
    there: dict[str, Any] = {"number_id": "106540352242999", **named}
    post(shop.stack, wire.messages(*(wire.text(f"c{n}", f"ali {n}", **bia) for n in range(2)), **there))
    page = visit()
    choose(page, "Bia Lima")
    facts = page.locator("message-history-panel .who .facts")
    expect(facts).to_contain_text("5 mensagens")

    page.locator("#panel").evaluate(
        "(panel, id) => panel.setAttribute('instance-id', id)", added.stdout.strip()
    )

    expect(facts).to_contain_text("2 mensagens")
    expect(page.locator("li.message")).to_have_count(2)
    post(shop.stack, wire.messages(wire.text("c9", "ali 9", at=wire.NOON + 9, **bia), **there))
    expect(facts).to_contain_text("3 mensagens")


def test_somebody_new_is_marked_for_those_who_see_and_those_who_hear(visit: Callable[..., Page], shop: Shop):
    page = visit()
    choose(page, "Ana Souza")
    expect(page.locator("message-history-panel .who .facts")).to_contain_text("ao vivo")

    caio = wire.contact("5511966665555", "Caio Reis")
    said = wire.text("n1", "primeira vez", sender="5511966665555")
    post(shop.stack, wire.messages(said, contacts=[caio]))

    entry = page.locator("#lead-list button", has_text="Caio Reis")
    expect(entry).to_contain_text("nova mensagem")
    # A search in between changes nothing of it.
    page.fill("#search", "caio")
    expect(page.locator("#lead-list button")).to_have_count(1)
    expect(entry).to_contain_text("nova mensagem")
    page.fill("#search", "")
    expect(page.locator("#lead-list button", has_text="Ana Souza")).to_be_visible()
    expect(entry).to_contain_text("nova mensagem")
    entry.click()
    expect(entry).not_to_contain_text("nova mensagem")


def test_a_page_has_one_connection_for_what_comes_and_none_out_of_sight(
    visit: Callable[..., Page], shop: Shop
):
    page = visit(signed_in=False)
    begun: list[str] = []
    ended: list[str] = []
    page.on("request", lambda told: begun.append(told.url) if "/stream" in told.url else None)
    page.on("requestfailed", lambda told: ended.append(told.url) if "/stream" in told.url else None)
    page.fill("#token", shop.token)
    page.keyboard.press("Enter")
    choose(page, "Ana Souza")
    facts = page.locator("message-history-panel .who .facts")
    expect(facts).to_contain_text("ao vivo")
    assert (len(begun), len(ended)) == (1, 0)

    hide = """isHidden => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    expect(facts).to_contain_text("sem conexão ao vivo")
    shop.write("unseen-1", "enquanto ninguém via", at=wire.NOON + 61 * DAY)
    page.wait_for_timeout(1000)
    assert (len(begun), len(ended)) == (1, 1)
    page.evaluate(hide, False)

    expect(page.locator("li.message").last).to_contain_text("enquanto ninguém via")
    assert len(begun) == 2


def test_a_stream_that_has_gone_silent_is_begun_anew(visit: Callable[..., Page], shop: Shop):
    page = visit(signed_in=False)
    page.clock.install()
    page.reload()
    page.fill("#token", shop.token)
    page.keyboard.press("Enter")
    choose(page, "Ana Souza")
    expect(page.locator("message-history-panel .who .facts")).to_contain_text("ao vivo")

    with page.expect_request(lambda told: "/stream" in told.url and "last-event-id" in told.headers):
        page.clock.fast_forward(41_000)


def test_an_inbox_that_is_away_says_so_and_comes_back(visit: Callable[..., Page], shop: Shop):
    page = visit(signed_in=False)
    away: dict[str, Any] = {"status": 503, "body": "{}"}
    page.route("**/session", lambda route: route.fulfill(**away), times=1)
    page.fill("#token", shop.token)
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in-error")).to_contain_text("O servidor não responde no momento")

    page.route("**/leads?**", lambda route: route.fulfill(**away), times=1)
    page.fill("#token", shop.token)
    page.keyboard.press("Enter")
    expect(page.locator("#lead-state")).to_contain_text("Não foi possível carregar.")
    page.get_by_role("button", name="Tentar de novo").click()
    expect(page.locator("#lead-list button").first).to_be_visible()

    page.route("**/session", lambda route: route.fulfill(**away), times=1)
    page.reload()
    expect(page.locator("#lead-list button").first).to_be_visible()

    page.route("**/session", lambda route: route.fulfill(**away), times=1)
    page.click("#sign-out")
    expect(page.locator("#sign-in-error")).to_contain_text("ainda não saiu")
    assert page.locator("#lead-list li").count() == 0


def test_who_reads_in_another_language_goes_on_where_they_were(visit: Callable[..., Page]):
    page = visit()
    choose(page, "Ana Souza")
    page.locator(".list").evaluate("list => { list.scrollTop = 0; }")
    expect(page.locator("li.message")).to_have_count(200)
    page.locator(".list").evaluate("list => { list.scrollTop = 2000; }")
    page.wait_for_timeout(300)
    read = "document.querySelector('message-history-panel').here()"
    before = page.evaluate(read)

    page.select_option("#language", "en")

    expect(page.get_by_role("button", name="Search this conversation")).to_be_visible()
    expect(page.locator(f"li.message[data-id='{before['id']}']")).to_be_in_viewport()
    page.wait_for_timeout(300)
    after = page.evaluate(read)
    assert (after["id"], abs(after["top"] - before["top"]) <= 2) == (before["id"], True)


def test_who_signs_out_in_one_window_has_signed_out_in_all(visit: Callable[..., Page]):
    page = visit()
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("#lead-list button").first).to_be_visible()

    page.click("#sign-out")

    expect(other.locator("#token")).to_be_visible()
    assert other.locator("#lead-list li").count() == 0


def test_who_signs_in_next_sees_nothing_of_who_was_there_before(visit: Callable[..., Page]):
    page = visit()
    choose(page, "Ana Souza")
    page.context.clear_cookies()

    page.fill("#search", "qualquer")
    expect(page.locator("#sign-in-error")).to_have_text("A sessão terminou: entre de novo.")

    assert page.locator("li.message, #lead-list li, #hit-list li").count() == 0
    assert page.input_value("#search") == ""


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
    page.fill("#search", "pedido")
    expect(page.locator("#hit-list button").first).to_be_visible()
    check("found in the list")


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
    shop.write("embedded-1", "também aqui", at=wire.NOON + 70 * DAY)
    expect(page.locator("li.message").last).to_contain_text("também aqui")
    page.get_by_role("button", name="Sincronizar").click()
    expect(page.locator(".progress")).to_contain_text("Sincronizado")
    page.get_by_role("button", name="Mais ações").click()
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="Planilha (CSV)").click()
    assert downloaded.value.suggested_filename == "Ana-Souza.csv"
    keep(page, "embedded")


def test_the_page_of_the_documentation_embeds_the_panel(
    visit: Callable[..., Page], shop: Shop, elsewhere: str, tmp_path: Path
):
    document = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text("utf-8")
    [written] = re.findall(r"```html\n(.*?)```", document, re.DOTALL)
    asked = {"Authorization": f"Bearer {shop.token}"}
    page = visit(signed_in=False)
    [ana] = page.request.get(f"{shop.address}api/v1/whatsapp/leads?q=ana", headers=asked).json()["leads"]
    shown_page = re.sub(r'lead-id="[^"]+"', f'lead-id="{ana["id"]}"', written)
    shown_page = shown_page.replace("https://recado.example", shop.address.rstrip("/"))
    head = '<!doctype html><meta charset="utf-8"><title>CRM</title><link rel="icon" href="data:,">'
    (tmp_path / "index.html").write_text(head + shown_page, "utf-8")
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "recado-token").write_text(shop.token)

    page.goto(f"{elsewhere}/index.html")

    expect(page.locator("li.message").last).to_be_in_viewport()


def test_a_lead_can_be_chosen_while_others_write(visit: Callable[..., Page], shop: Shop):
    page = visit()
    entry = page.locator("#lead-list button", has_text="hacked")
    listed = page.locator("#lead-list")
    entry.hover()
    page.mouse.down()
    shop.write("busy-1", "no meio do clique", at=wire.NOON + 80 * DAY)
    expect(listed).to_contain_text("no meio do clique")
    page.mouse.up()

    expect(entry).to_have_attribute("aria-current", "true")


KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"text": {"body": "*olá*"}}, "*olá*"),
    "image": ({"image": {"id": "1", "mime_type": "image/jpeg", "caption": "o bolo"}}, "o bolo"),
    "document": (
        {"document": {"id": "2", "mime_type": "application/pdf", "filename": "nota \u202efdp.exe"}},
        "nota fdp.exe",
    ),
    "audio": ({"audio": {"id": "3", "voice": True}}, "Mensagem de voz"),
    "video": ({"video": {"id": "4"}}, "Vídeo"),
    "sticker": ({"sticker": {"id": "5"}}, "Figurinha"),
    "location": ({"location": {"latitude": -23.5, "longitude": -46.6, "name": "Loja"}}, "Ver no mapa"),
    "contacts": (
        {
            "contacts": [
                {
                    "name": {"formatted_name": "Rui Prado"},
                    "phones": [{"phone": "+55 11 1"}, {"phone": "+55 11 2"}],
                    "emails": [{"email": "rui@loja.example"}],
                }
            ]
        },
        "Rui Prado · +55 11 1 · +55 11 2 · rui@loja.example",
    ),
    "order": (
        {
            "order": {
                "product_items": [
                    {"product_retailer_id": "bolo", "quantity": 2, "item_price": 30, "currency": "BRL"}
                ]
            }
        },
        "bolo · R$\xa030,00",
    ),
    "button": ({"button": {"text": "Quero", "payload": "sim"}}, "Quero"),
    "unsupported": ({"errors": [{"code": 131051, "title": "Unsupported"}]}, "Unsupported (131051)"),
    "hologram": ({"hologram": {"depth": 3}}, "hologram"),
}


def test_every_kind_of_message_is_drawn(visit: Callable[..., Page], shop: Shop):
    sender = "5511955554444"
    several = [
        {"from": sender, "id": f"k-{kind}", "timestamp": str(wire.NOON + at), "type": kind, **content}
        for at, (kind, (content, _)) in enumerate(KINDS.items())
    ]
    told: dict[str, Any] = {"from": sender, "timestamp": str(wire.NOON + 100)}
    changed = [
        wire.text("k-gone", "segredo", sender=sender, at=wire.NOON + 50),
        {**told, "id": "k-revoke", "type": "revoke", "revoke": {"original_message_id": "k-gone"}},
        wire.text("k-old", "antes disso", sender=sender, at=wire.NOON + 51),
        {
            **told,
            "id": "k-edit",
            "type": "edit",
            "edit": {
                "original_message_id": "k-old",
                "message": {"type": "text", "text": {"body": "depois disso"}},
            },
        },
    ]
    named = [wire.contact(sender, "Tipos Variados")]
    post(shop.stack, wire.messages(*several, *changed, contacts=named))
    failed = {"code": 131026, "title": "Message undeliverable"}
    post(
        shop.stack,
        wire.webhook(
            wire.entry(
                wire.change("smb_message_echoes", message_echoes=[wire.echo("k-out", "enviada", to=sender)]),
                wire.change(
                    statuses=[
                        wire.status("k-out", "failed", to=sender, errors=[failed]),
                        wire.status("k-stub", "sent", to=sender, at=wire.NOON + 60),
                    ]
                ),
            )
        ),
    )
    page = visit()
    choose(page, "Tipos Variados")
    messages = page.locator("li.message")
    for kind, (_, words) in KINDS.items():
        drawn = messages.filter(has_text=words)
        assert drawn.count() >= 1, (kind, messages.all_text_contents())
    for words in (
        "arquivo ainda não disponível",
        "Mensagem apagada",
        "depois disso",
        "editada",
        "Message undeliverable (131026)",
        "Enviada por outro sistema",
    ):
        expect(messages.filter(has_text=words).first).to_be_visible()
    assert "segredo" not in page.locator(".list").inner_text()

    edited = messages.filter(has_text="depois disso")
    edited.locator("summary").click()
    told_later = {**told, "id": "k-heart", "type": "reaction", "timestamp": str(wire.NOON + 200)}
    loved = {**told_later, "reaction": {"message_id": "k-old", "emoji": "❤️"}}
    post(shop.stack, wire.messages(loved, contacts=named))
    expect(edited.locator(".reactions")).to_contain_text("❤️")
    # What somebody has opened stays open.
    expect(edited.locator("details")).to_have_attribute("open", "")
    keep(page, "kinds")


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
