#!/bin/sh
# Creates the CA and the certificates of both sides in the places that the files name. The argument is the directory
# with copies of these files; private keys are not part of a repository.
set -eu
cd "$1"
umask 077
mkdir -p certs isakmpd/certs isakmpd/ca isakmpd/private
openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj "/O=Example/CN=Example CA" -keyout ca.key -out isakmpd/ca/ca.crt
issue() { # ADDRESS FILE
    openssl req -newkey rsa:2048 -nodes -subj "/O=Example/CN=$1" -keyout "$2.key" -out "$2.csr"
    printf 'subjectAltName=IP:%s\nkeyUsage=digitalSignature\n' "$1" >"$2.ext"
    openssl x509 -req -days 365 -in "$2.csr" -CA isakmpd/ca/ca.crt -CAkey ca.key -CAcreateserial -extfile "$2.ext" -out "$2.crt"
    rm "$2.csr" "$2.ext"
}
issue 192.0.2.1 certs/192.0.2.1
issue 198.51.100.1 certs/198.51.100.1
cp certs/198.51.100.1.crt isakmpd/certs
mv certs/198.51.100.1.key isakmpd/private/local.key
