"""Fields of many stations at once, held in memory as a whole."""


def ensemble(members: int, megabytes: int) -> list[bytearray]:
    """Realisations of a field; each byte is written, so that the memory is really used."""
    return [bytearray(b"\x01") * (megabytes << 20) for _ in range(members)]


def mean(field: list[bytearray]) -> float:
    return sum(member[len(member) // 2] for member in field) / len(field)
