#!/bin/sh
# A service by its name, or a command of `fanfare`: `gateway`, `migrate`, `topics create`.
case "${1:-}" in
    gateway | fanout | notifier | archiver) exec python -m "$@" ;;
    *) exec fanfare "$@" ;;
esac
