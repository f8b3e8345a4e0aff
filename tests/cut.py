"""What the hosts' macro makes of an answer: it cuts by offsets and commas, it does not parse (asterisk_hosts §5)."""


def cut(answer: bytes) -> tuple[str, str]:
    """Return CALLNAME and NEXT. Asterisk counts bytes; the cuts are beside ASCII, so text stays whole."""
    if len(answer) < 30:
        return "", ""
    text = answer.decode()[9:].replace('","DialPlan":', ",").replace('"', "")[:-1]
    name, _, rest = text.partition(",")
    following = rest.partition(",")[0]
    return name, "" if following == "null" else following
