#!/usr/bin/env bash
# strongSwan's charon as in peer-charon.sh, in a namespace of this machine and with its ESP in user space, which is always sent in UDP.
HOST=peer-namespace.sh exec "$(dirname "$(readlink -f "$0")")/peer-charon.sh" "$@"
