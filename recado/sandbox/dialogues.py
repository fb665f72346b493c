"""What people and the bakery say to each other, as data: who speaks, what kind of message, which words.

Words in braces are slots, filled anew each time a dialogue is played (`SLOTS`, and `name` for the
person's first name), so that the same dialogue never reads the same twice.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from recado.sandbox.people import Language

_NOTHING: Final[dict[str, object]] = {}


@dataclass(frozen=True, slots=True)
class Line:
    """One message. `text` is its body, caption, emoji, title or name, whichever the kind has."""

    speaker: Literal["them", "us"]
    kind: str
    text: str = ""
    details: dict[str, object] = field(default_factory=lambda: dict(_NOTHING))
    quotes: bool = False
    """Whether it is a reply to the line before it."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    language: Language
    lines: tuple[Line, ...]


def _them(text: str, *, quotes: bool = False) -> Line:
    return Line("them", "text", text, quotes=quotes)


def _us(text: str, *, quotes: bool = False) -> Line:
    return Line("us", "text", text, quotes=quotes)


def _image(speaker: Literal["them", "us"], caption: str = "") -> Line:
    return Line(speaker, "image", caption)


def _voice(speaker: Literal["them", "us"] = "them") -> Line:
    return Line(speaker, "audio")


def _document(speaker: Literal["them", "us"], filename: str, caption: str = "") -> Line:
    return Line(speaker, "document", caption, {"filename": filename})


def _location(name: str, address: str, latitude: float, longitude: float) -> Line:
    return Line("them", "location", name, {"address": address, "latitude": latitude, "longitude": longitude})


def _reaction(emoji: str, *, speaker: Literal["them", "us"] = "them") -> Line:
    return Line(speaker, "reaction", emoji)


def _card(name: str, phone: str) -> Line:
    return Line("them", "contacts", name, {"phone": phone})


def _button_reply(title: str) -> Line:
    return Line("them", "button_reply", title, quotes=True)


def _list_reply(title: str, description: str) -> Line:
    return Line("them", "list_reply", title, {"description": description}, quotes=True)


def _order(text: str, *products: tuple[str, int, float]) -> Line:
    """`products` are (retailer id, quantity, price)."""
    items = [
        {"product_retailer_id": retailer_id, "quantity": quantity, "item_price": price, "currency": "BRL"}
        for retailer_id, quantity, price in products
    ]
    return Line("them", "order", text, {"product_items": items})


def _template_button(text: str) -> Line:
    return Line("them", "button", text, quotes=True)


def _sent_by_api() -> Line:
    """A template sent by another program through the API: nothing echoes it, only statuses tell of it."""
    return Line("us", "api")


def _failing() -> Line:
    """A message by API that Meta refuses to deliver."""
    return Line("us", "api_failed")


SLOTS: Final[dict[Language, dict[str, tuple[str, ...]]]] = {
    "pt": {
        "cake": ("brigadeiro", "ninho com morango", "cenoura com chocolate", "red velvet", "doce de leite"),
        "bread": ("pão francês", "broa de milho", "pão de queijo", "croissant", "pão de fermentação natural"),
        "people": ("15", "20", "25", "30", "40"),
        "quantity": ("6", "10", "12", "20", "30"),
        "weekday": ("quinta", "sexta", "sábado", "domingo"),
        "hour": ("9h", "10h30", "14h", "15h30", "17h"),
        "price": ("R$ 89,00", "R$ 120,00", "R$ 145,50", "R$ 168,00", "R$ 210,00"),
        "message": ("Parabéns, vó!", "Feliz 30, Carol", "7 aninhos da Lívia", "Boas-vindas, Theo"),
        "driver": ("Seu Nilton", "Wesley", "Dani"),
    },
    "en": {
        "cake": ("carrot cake", "lemon drizzle", "chocolate fudge cake", "coconut cake"),
        "bread": ("sourdough", "pão de queijo", "croissants", "corn bread"),
        "people": ("12", "15", "20", "30"),
        "quantity": ("6", "12", "18", "24"),
        "weekday": ("Thursday", "Friday", "Saturday", "Sunday"),
        "hour": ("9am", "10:30", "2pm", "4pm"),
        "price": ("R$ 95", "R$ 130", "R$ 152.50", "R$ 180"),
        "message": ("Happy 40th, Kate!", "Welcome home", "Congrats, Dr. Sam"),
        "driver": ("Wesley", "Dani"),
    },
}

# Sent within a second or two of a first message, to everybody alike.
GREETINGS: Final[dict[Language, str]] = {
    "pt": "Olá! Aqui é da Padaria Aurora 🥐 Já já alguém te responde. Funcionamos das 6h às 20h.",
    "en": "Hello! This is Padaria Aurora 🥐 We got your message and will be right with you. Open 6am to 8pm.",
}

DIALOGUES: Final = (
    Dialogue(
        "pt",
        (
            _them("Oi, bom dia! Vocês fazem bolo de aniversário por encomenda? 🎂"),
            _us("Bom dia, {name}! Fazemos sim 😊 É pra quantas pessoas e pra quando?"),
            _them("Umas {people} pessoas, pra {weekday} à tarde"),
            _them("queria de {cake}"),
            _us("Ótima escolha! De {cake} pra {people} pessoas fica {price}. Quer alguma frase em cima?"),
            _them('Pode escrever "{message}"'),
            _image("them", "A ideia é mais ou menos assim, com essas flores do lado"),
            _us("Que lindo! Conseguimos fazer igualzinho, sim.", quotes=True),
            _reaction("❤️"),
            _us(
                "Pra confirmar pedimos 50% de sinal no Pix: aurora@padaria.example. O resto na retirada, ok?"
            ),
            _them("Pode! Fazendo agora"),
            _document("them", "comprovante-pix.pdf", "Segue o comprovante"),
            _us("Recebido, {name}! Tá confirmado pra {weekday} às {hour} ✅"),
            _them("Perfeito, muito obrigada 🙏"),
        ),
    ),
    Dialogue(
        "pt",
        (
            _them("Boa tarde, ainda tem {bread} quentinho?"),
            _us("Boa tarde! Sai uma fornada às {hour} 🔥 Quer que eu separe?"),
            _them("Separa {quantity} pra mim por favor, passo aí depois do trabalho"),
            _us("Separado no nome de {name} 👍"),
            _reaction("👍"),
        ),
    ),
    Dialogue(
        "pt",
        (
            _voice(),
            _us("Oi {name}! Ouvi aqui 😄 Entregamos sim, a taxa pro seu bairro é R$ 7,00"),
            _them("Ah que bom. Então manda {quantity} {bread} e um café da manhã completo"),
            _location("Casa", "Rua das Acácias, 120 - Vila Mariana, São Paulo - SP", -23.5891, -46.6342),
            _us("Anotado! {driver} sai daqui a pouco com o pedido. Total {price}, pagamento na entrega?"),
            _them("Isso, cartão de débito"),
            _us("Combinado 🛵"),
            _them("Chegou! Tudo ótimo como sempre 😋"),
            _reaction("🙏", speaker="us"),
        ),
    ),
    Dialogue(
        "pt",
        (
            _order(
                "Pode entregar até {hour}?",
                ("pao-de-queijo-500g", 2, 24.9),
                ("bolo-cenoura", 1, 45.0),
                ("cafe-coado-1l", 1, 18.5),
            ),
            _us("Oi {name}, chegou seu pedido pelo catálogo! Consigo entregar sim. Mesmo endereço?"),
            _them("confirmo!", quotes=True),
            _us("Fechado, {driver} leva 🛵"),
        ),
    ),
    Dialogue(
        "pt",
        (
            _them("Gente, veio errado o pedido de hoje 😕"),
            _image("them", "Pedi {bread} e veio isso aqui"),
            _us("Poxa, {name}, mil desculpas! Foi troca na hora de embalar."),
            _us("Posso mandar o certo agora sem custo, ou prefere o estorno?"),
            _them("Manda o certo, por favor. E fica tudo bem, acontece 🙂"),
            _us("Saindo já com {driver}, e vai um mimo junto 🧁"),
            _reaction("😍"),
            _them("Vocês são demais, obrigado mesmo"),
        ),
    ),
    Dialogue(
        "pt",
        (
            _them("Bom dia! Vcs têm alguma coisa sem glúten e sem lactose? Meu filho é celíaco"),
            _us("Bom dia, {name}! Temos bolo de fubá e pão de mandioca, feitos em cozinha separada."),
            _document("us", "cardapio-sem-gluten.pdf", "Aqui o cardápio completo com os ingredientes"),
            _them("Nossa, que cuidado! Qual o prazo?", quotes=True),
            _us("Dois dias. Pedindo hoje, {weekday} às {hour} tá na mão."),
            _them("Quero {quantity} pães de mandioca então"),
            _us("Anotado 📝 Total {price}"),
        ),
    ),
    Dialogue(
        "pt",
        (
            _us("Bom dia, {name}! Qual kit vai ser o do café da manhã de {weekday}?"),
            _list_reply("Kit família", "Pães, frios, bolo do dia e suco para 4 pessoas"),
            _us("Kit família anotado. Entrega às {hour}?"),
            _button_reply("Confirmar"),
            _us("Confirmado ✅ Até {weekday}!"),
        ),
    ),
    Dialogue(
        "pt",
        (
            _sent_by_api(),
            _template_button("Quero repetir o pedido"),
            _us("Oba! Repetindo: {quantity} {bread} e 1 bolo de {cake}. Fica {price}. Mesmo endereço?"),
            _them("mesmo endereço, obrigada"),
        ),
    ),
    Dialogue(
        "pt",
        (
            _them("Oi! Vamos fazer uma confraternização pra {people} pessoas na {weekday}"),
            _them("Vocês mandam orçamento de salgados e docinhos?"),
            _us("Oi, {name}! Mandamos sim. Já preparo aqui pra você."),
            _document("us", "orcamento-confraternizacao.pdf", "Orçamento com 3 opções, válido por 7 dias"),
            _them("Recebi, vou levar pro síndico"),
            _card("Roberto (síndico)", "+55 11 92555-0190"),
            _them("Se puder falar direto com ele"),
            _us("Claro! Já chamo o Roberto. Obrigada pela indicação 🙌"),
        ),
    ),
    Dialogue(
        "pt",
        (
            _them("{name} aqui. Tem vaga pra trabalhar aí? Sou confeiteira há 8 anos"),
            _us("Oi, {name}! Temos uma vaga no turno da manhã. Pode mandar o currículo por aqui mesmo."),
            _document("them", "curriculo.docx"),
            _image("them", "Alguns dos meus bolos"),
            _image("them"),
            _us("Que trabalho lindo! Consegue vir fazer um teste {weekday} às {hour}?"),
            _them("Consigo sim!! 😍"),
        ),
    ),
    Dialogue(
        "pt",
        (
            _them("qual o horário de vocês no feriado?"),
            _us("No feriado abrimos das 7h às 13h 😉"),
            _them("blz valeu"),
        ),
    ),
    Dialogue(
        "pt",
        (
            _failing(),
            _them("Oi, vi que vocês tentaram me ligar?"),
            _us("Oi {name}! Era pra avisar que seu bolo de {cake} está pronto 🎂 Pode retirar até as 20h."),
            _them("Que ótimo! Passo às {hour}"),
            _us("Te esperamos!"),
        ),
    ),
    Dialogue(
        "en",
        (
            _them("Hi! Do you speak English? I'm staying around the corner and the smell is killing me 😄"),
            _us("Hi {name}! Yes, we do 😊 How can we help?"),
            _them("Any chance of {quantity} {bread} for {weekday} morning?"),
            _us("Of course. Ready from {hour}, it comes to {price}. Pick-up or delivery?"),
            _location("Hotel Pátio Central", "Av. Paulista 1500, São Paulo", -23.5614, -46.6559),
            _them("Delivery please, room 402"),
            _us("Noted! {driver} will leave it at the front desk 🛵"),
            _reaction("🙏"),
        ),
    ),
    Dialogue(
        "en",
        (
            _them("Hello, I'd like to order a {cake} for about {people} people, pick up on {weekday}"),
            _us("Lovely! That would be {price}. Anything written on top?"),
            _them('"{message}" if there is room for it'),
            _image("them", "Something like this would be great"),
            _us("We can do that. A 50% deposit confirms it: https://padaria.example/pay/aurora", quotes=True),
            _them("Paid, thanks!"),
            _us("Got it, see you {weekday} at {hour} 🎂"),
            _reaction("❤️"),
        ),
    ),
    Dialogue(
        "en",
        (
            _voice(),
            _us("Thanks for the voice note, {name}! Nut-free is possible, we bake it first thing."),
            _them("Amazing. And is there parking?", quotes=True),
            _us("Two spots right in front, first 30 minutes are free."),
            _them("Perfect, see you {weekday}"),
        ),
    ),
    Dialogue(
        "en",
        (
            _them("Invoice for last month's coffee breaks, please? Bennett & Co / São Paulo office"),
            _us("Hi {name}, sure, one moment."),
            _document("us", "invoice-bennett-co.pdf", "Here you go: {price}, due in 15 days"),
            _them("Thank you, forwarding it to finance"),
            _reaction("👍", speaker="us"),
        ),
    ),
)
