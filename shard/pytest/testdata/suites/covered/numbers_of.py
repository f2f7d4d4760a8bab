def small():
    return 1


def large():
    block = bytearray(100 << 20)
    block[:: 4096] = b"x" * len(block[:: 4096])
    return len(block)


def never():
    return 0


def branch(n):
    if n == 0:
        return "none"
    if n == 1:
        return "one"
    if n == 2:
        return "two"
    return "many"
