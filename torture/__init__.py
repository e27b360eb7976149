"""`fanfare torture`: breaks a system of its own in every way we know, under load, and checks what clients saw.

It reaches services over the network and as processes; only bugs to be planted (`planted`) are told of their insides.

    history     what was done and seen, and a file of it (pure)
    check       the promises, checked against a history and the log (pure)
    system      a `fanfare up` of its own, its processes, and links that can be cut
    load        senders and receivers
    faults/     one class a fault, and the catalogue of all
    settling    the end of a run, and what the stores say then
    run         a row of the table: load, fault, settling, check
    client/     the strict client of the gateway protocol and of REST, for tests and benchmarks too
"""
