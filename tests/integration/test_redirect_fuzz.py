"""A live daemon is asked anything at all: every answer is one that the hosts' dialplan cuts rightly."""

import json
import random
import re
from typing import Any

from tests.cut import cut
from tests.integration.test_redirect import CUSTOMER, PATH, a_company, customers, id_of, smart
from tests.kinds import LINE
from tests.lab import CODES, TOKEN, Lab
from vochi_integrations.emulators.retailcrm.people import Customer

REQUESTS = 1_000
PIECES = [
    *[",", '"', "\\", ";", "$", "{", "}", "[", "]", "(", ")", "\n", "\r", "\t", "\x00", "\x7f", "\u2028", "\u202e"],
    *['","DialPlan":', '","DialPlan":"mngr9_x_1"}', "null", "${SHELL(id)}", "$[1+1]", " ", "  ", "|", "&", "'", "<1>"],
    *["Иванов", "Иван", "ООО", "🧑‍🚀", "é", "\ufeff", "\xa0", "a" * 70, "я" * 40, "%0a", "%", "#", "=", "/", "~"],
]
SHAPE = re.compile(r'\{"Name":"([^",\\;${}()\[\]\x00-\x1f\x7f]*)","DialPlan":("[\w.+@-]+"|null)\}')
VALUES: list[Any] = [None, True, 0, -1, 1.5, 10**30, [], {}, [LINE], {"a": LINE}, "", " ", LINE, CUSTOMER, "<unknown>"]


def strange(random_: random.Random) -> str:
    return "".join(random_.choice(PIECES) for _ in range(random_.randint(1, 9)))


def a_body(random_: random.Random) -> bytes:
    """Return a question as hosts send it, with some of it replaced, or its bytes spoiled."""
    fields: dict[str, Any] = {"UniqueId": "1757840400.6", "Phone": CUSTOMER, "TrunkId": LINE, "LoadDialPlan": "true"}
    for name in random_.sample([*fields, "Token"], random_.randint(0, 3)):
        fields[name] = random_.choice([strange(random_), *VALUES])
    body = bytearray(json.dumps(fields, ensure_ascii=random_.random() < 0.5).encode())
    if random_.random() < 0.3:
        at = random_.randrange(len(body))
        body[at : at + random_.randint(0, 5)] = random_.randbytes(random_.randint(0, 5))
    return bytes(body)


async def test_whatever_is_asked_the_answer_is_cut_rightly(lab: Lab) -> None:
    random_ = random.Random(20251204)  # noqa: S311 - the same each time
    async with a_company(lab) as daemon:
        contexts = {"", f"mngr{await id_of(lab, '151')}_{LINE}_1"}
        seen = set()
        for _ in range(REQUESTS):
            headers = {"Token": random_.choice([TOKEN, TOKEN, TOKEN, "x", ""])}
            async with lab.session.post(daemon.public + PATH, data=a_body(random_), headers=headers) as response:
                answer = await response.read()
            assert response.status == 200
            assert SHAPE.fullmatch(answer.decode())
            assert cut(answer)[1] in contexts
            seen.add(cut(answer))
        assert seen == {("", ""), ("Жук Виктор", f"mngr{await id_of(lab, '151')}_{LINE}_1")}


async def test_whatever_a_customer_is_called_the_call_goes_on(lab: Lab) -> None:
    random_ = random.Random(20251205)  # noqa: S311 - the same each time
    everywhere = smart(send_line_name=True, send_shop_name=True)
    async with a_company(lab, everywhere, delivery__enterprise_rate=10_000) as daemon:
        lab.crm.switch(rate_limit=False)
        context = f"mngr{await id_of(lab, '151')}_{LINE}_1"
        for number in range(300):
            phone = f"37529{number:07}"
            named = Customer(number, strange(random_), strange(random_), phone, manager_id=CODES["151"])
            lab.account.customers[phone] = named
            body = {"UniqueId": "1.1", "Phone": f"+{phone}", "TrunkId": LINE}
            async with lab.session.post(daemon.public + PATH, json=body, headers={"Token": TOKEN}) as response:
                answer = await response.read()
            found = SHAPE.fullmatch(answer.decode())
            assert found is not None, named
            assert cut(answer) == (found[1], context)
            assert len(found[1]) <= 64


async def test_while_the_database_answers_nothing_the_crm_decides_and_the_budget_holds(lab: Lab) -> None:
    async with a_company(lab, smart_redirect__budget_ms=400) as daemon:
        customers(lab, "151", [CUSTOMER])
        async with lab.sql.transaction():
            await lab.sql.execute("LOCK TABLE call_events IN ACCESS EXCLUSIVE MODE")
            for phone, context in ((CUSTOMER, f"mngr{await id_of(lab, '151')}_{LINE}_1"), ("+375290000077", "")):
                body = {"UniqueId": "1.1", "Phone": phone, "TrunkId": LINE}
                url = daemon.public + PATH
                status, answer = await daemon.send("POST", url, json=body, headers={"Token": TOKEN})
                assert (status, answer["DialPlan"] or "") == (200, context)
            asked = {"enterprise_number": "0367", "phone": "+375290000078"}
            _, found = await daemon.send("POST", daemon.internal + "/api/smart-redirect", json=asked)
            assert found["source"] == "timeout"
            assert found["elapsed_ms"] < 400
