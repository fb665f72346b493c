"""Who takes part in the sandbox: the business's two numbers, its regulars, and strangers as needed.

All invented. Numbers use 555-01xx and Ofcom's 7700 900xxx, which are kept free for fiction, and their
look-alikes in Brazil, which keeps none free.
"""

from dataclasses import dataclass
from random import Random
from typing import Final, Literal, TypeAlias

Language: TypeAlias = Literal["pt", "en"]

TENANT: Final = "sandbox"


@dataclass(frozen=True, slots=True)
class Business:
    """A connected number of the sandbox's tenant."""

    name: str
    waba_id: str
    phone_number_id: str
    display_phone_number: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who writes to the business; without `wa_id` it is a username user who hides the number."""

    name: str
    wa_id: str | None
    user_id: str
    username: str | None
    language: Language

    @property
    def first_name(self) -> str:
        return self.name.split()[0]


SHOP: Final = Business("Padaria Aurora", "102290129340398", "106540352242922", "551155550101")
ORDERS: Final = Business("Aurora Encomendas", "102290129340411", "106540352242947", "5511955550102")
BUSINESSES: Final = (SHOP, ORDERS)

# Brazilian wa_ids come in both forms: many numbers are known without their ninth digit (12 digits).
REGULARS: Final = (
    Person("Maria Clara Souza", "551185550134", "BR.20417739012846155710", None, "pt"),
    Person("João Pedro Almeida", "5511985550177", "BR.20417739012846155723", "joaopedro.almeida", "pt"),
    Person("Dona Zilda 🌻", "553185550112", "BR.20417739012846155738", None, "pt"),
    Person("Thiago Ferreira", "5521995550148", "BR.20417739012846155744", None, "pt"),
    Person("Bia", None, "BR.20417739012846155751", "bia.nogueira", "pt"),
    Person("Emily Carter", "14155550132", "US.13491208655302741960", "emcarter", "en"),
    Person("Oliver Bennett", "447700900143", "GB.17702239045561288014", None, "en"),
    Person("Condomínio Vila das Flores", "551125550166", "BR.20417739012846155799", None, "pt"),
)

_FIRST_NAMES: Final[dict[Language, tuple[str, ...]]] = {
    "pt": (
        "Ana", "Antônio", "Camila", "Cauê", "Débora", "Edson", "Fernanda", "Gustavo", "Helena", "Igor",
        "Juliana", "Letícia", "Luís", "Marcos", "Natália", "Otávio", "Patrícia", "Rafael", "Sônia", "Vítor",
    ),
    "en": ("Alice", "Ben", "Chloe", "Daniel", "Grace", "Hannah", "Jack", "Leo", "Nora", "Sam"),
}  # fmt: skip
_LAST_NAMES: Final[dict[Language, tuple[str, ...]]] = {
    "pt": (
        "Araújo", "Barbosa", "Cardoso", "Conceição", "Dias", "Gonçalves", "Lima", "Moreira", "Oliveira",
        "Pereira", "Ramos", "Ribeiro", "Santos", "Silva", "Teixeira",
    ),
    "en": ("Adams", "Brown", "Clarke", "Evans", "Hughes", "Kelly", "Morgan", "Price", "Reed", "Walsh"),
}  # fmt: skip
_AREAS: Final = ("11", "19", "21", "27", "31", "41", "48", "51", "61", "71", "81", "85")


def stranger(rng: Random, number: int) -> Person:
    """Make up somebody who has not written before; `number` keeps their identifiers apart.

    One in eight hides the phone number, one in four is still known without the ninth digit.
    """
    language: Language = "en" if rng.random() < 0.15 else "pt"
    name = f"{rng.choice(_FIRST_NAMES[language])} {rng.choice(_LAST_NAMES[language])}"
    hides = rng.random() < 0.125
    if language == "en":
        wa_id = f"1{4_150_000_000 + number}"
    else:
        ninth = "" if rng.random() < 0.25 else "9"
        wa_id = f"55{rng.choice(_AREAS)}{ninth}{80000000 + number:08d}"
    country = "US" if language == "en" else "BR"
    user_id = f"{country}.{30_000_000_000_000_000_000 + number}"
    username = f"{name.split()[0].lower()}.{number}" if hides or rng.random() < 0.3 else None
    return Person(name, None if hides else wa_id, user_id, username, language)
