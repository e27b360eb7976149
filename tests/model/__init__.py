"""A model of the delivery rules (docs/design.md, sections 4 and 5): every process a generator, every fault a choice.

A seeded scheduler steps clients, gateways, fan-outs and notifiers over Kafka and Redis as plain state, with kills,
pauses, zombies, lost replies and lost stores. The decisions are the product's own: pure functions, and steps that
yield what they wish for (`drive`). What is modelled is only who does what when. Wrong rules (`bugs`) can be planted, to
see that the checks find them.
"""
