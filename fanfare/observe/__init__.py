"""What a running system does: samples of it, and the figures that two samples give.

`collect` asks Kafka, Redis, PostgreSQL and each process, and answers a `Sample`; `figures` is pure and makes rates,
lags and percentiles of two of them. Whatever shows a running system uses these two: `fanfare top`, `fanfare autoscale`,
`fanfare demo scale`. Numbers that a page needs are added here, not collected a second time.
"""
