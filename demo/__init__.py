"""`fanfare demo`: shows what consumer groups are for, on a system of its own, and checks meanwhile what clients see.

It stands upon `torture`, whose system, senders, receivers and checker it uses.

    plan        the steps of `fanfare demo scale`, and how long each takes (pure)
    wording     what is said of each step (pure)
    story       what happened, as the pages show it (pure)
    stalls      how long deliveries stood still in each step (pure)
    crowd       the people of a guild: senders, and sessions that see all
    analytics   a consumer group of one's own
    show        the steps, one after the other, on a running system
    page        the page in the terminal
    drawing     the picture of a run as SVG (pure)
    web         the picture and the tables as one HTML file (pure)
    plot        the picture as PNG
    tour        `fanfare demo kafka`
"""
