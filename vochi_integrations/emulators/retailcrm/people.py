"""Who works in an account and who calls it: users, their groups, customers (facts: retailcrm_api §6)."""

from dataclasses import dataclass
from typing import Any

USER_STATUSES = ("free", "busy", "dinner", "break")
GROUPS = {
    "manager": {"id": 1, "name": "Менеджеры", "code": "manager"},
    "director": {"id": 2, "name": "Руководители", "code": "director"},
    "accounting": {"id": 3, "name": "Бухгалтерия", "code": "accounting"},
}


@dataclass(frozen=True, slots=True)
class User:
    """A colleague; the CRM keeps no telephony extension on it, the module's `additionalCodes` do."""

    id: int
    first_name: str
    last_name: str
    status: str = "free"
    groups: tuple[str, ...] = ("manager",)
    active: bool = True
    online: bool = True
    is_manager: bool = True
    is_admin: bool = False

    @property
    def email(self) -> str:
        return f"user{self.id}@shop.example"

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"

    def card(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "createdAt": "2024-01-15 09:00:00",
            "active": self.active,
            "email": self.email,
            "firstName": self.first_name,
            "lastName": self.last_name,
            "status": self.status,
            "online": self.online,
            "isAdmin": self.is_admin,
            "isManager": self.is_manager,
            "groups": [GROUPS[code] for code in self.groups],
        }


@dataclass(frozen=True, slots=True)
class Customer:
    id: int
    first_name: str
    last_name: str
    phone: str
    manager_id: int | None = None

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"

    def card(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "firstName": self.first_name,
            "lastName": self.last_name,
            "phones": [{"number": self.phone}],
            **({"managerId": self.manager_id} if self.manager_id else {}),
        }


STAFF = (
    User(16, "Анна", "Иванова"),
    User(18, "Дмитрий", "Соколов"),
    User(19, "Ольга", "Петрова", status="busy"),
    User(22, "Сергей", "Ковалёв"),
    User(25, "Мария", "Новик", status="dinner"),
    User(27, "Алексей", "Громов", groups=("director", "manager"), is_admin=True),
    User(31, "Екатерина", "Лис", groups=("accounting",), is_manager=False),
    User(34, "Павел", "Дорош", active=False, online=False),
    User(36, "Ирина", "Савчук", active=False, online=False),
)

CUSTOMERS = (
    Customer(501, "Наталья", "Мельник", "375290000001", manager_id=16),
    Customer(502, "Игорь", "Савицкий", "375290000002", manager_id=18),
    Customer(503, "Виктор", "Жук", "375290000003", manager_id=19),
    Customer(504, "Елена", "Крот", "375290000004"),
    Customer(505, "Олег", "Бондарь", "375290000005", manager_id=34),
)


def digits(phone: str) -> str:
    return "".join(filter(str.isdigit, phone))
