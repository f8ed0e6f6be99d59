#!/usr/bin/env bash
# securesystemslib 1.6.0 (Python) and go-securesystemslib v0.10.0 (Go), DSSE envelopes, ed25519.
#
# The good guess: two libraries of one project, over one specification in which `keyid` is an
# optional hint, accept each other's envelopes for the same public key in PEM.
# Seen: Go refuses what Python signed, "accepted signatures do not match threshold, Found: 0", with
# the right key and a right signature. Each names the key by another hash (Go's has the field
# keyid_hash_algorithms in it) and passes over signatures that carry another name. With `keyid`
# emptied, the very same signature is accepted. Python refuses an envelope without the field.
# Ends with 1 if any of this changes. Needs python3, Go, PyPI and the Go module proxy.
set -euo pipefail
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT && cd "$work"
python3 -m venv venv && venv/bin/pip install --quiet 'securesystemslib[crypto]==1.6.0'

cat > sign.py <<'PYTHON'
import json
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

signer = CryptoSigner.generate_ed25519()
envelope = Envelope(b"{}", "application/vnd.in-toto+json", {})
envelope.sign(signer)
document = envelope.to_dict()
json.dump(document, open("named.json", "w"))
document["signatures"][0]["keyid"] = ""
json.dump(document, open("nameless.json", "w"))
del document["signatures"][0]["keyid"]
try:
    Envelope.from_dict(document)
    print("python: reads an envelope without keyid")
except KeyError as error:
    print("python: KeyError", error)
public = signer._private_key.public_key()
open("key.pem", "wb").write(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
PYTHON

mkdir verify && cd verify
cat > main.go <<'GO'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/signerverifier"
)

func main() {
	pem, _ := os.ReadFile("../key.pem")
	key, err := signerverifier.LoadKey(pem)
	if err != nil {
		panic(err)
	}
	verifier, _ := signerverifier.NewED25519SignerVerifierFromSSLibKey(key)
	envelopes, _ := dsse.NewEnvelopeVerifier(verifier)
	text, _ := os.ReadFile(os.Args[1])
	var envelope dsse.Envelope
	if err := json.Unmarshal(text, &envelope); err != nil {
		panic(err)
	}
	if _, err := envelopes.Verify(context.Background(), &envelope); err != nil {
		fmt.Println("refused:", err)
		return
	}
	fmt.Println("accepted")
}
GO
go mod init kit.invalid/verify >/dev/null 2>&1
go get github.com/secure-systems-lab/go-securesystemslib@v0.10.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1 && go build -o verify . && cd ..

seen=$(venv/bin/python sign.py
  cd verify
  echo "go, keyid as python wrote it: $(./verify ../named.json)"
  echo "go, keyid empty: $(./verify ../nameless.json)")
echo "$seen"
grep -q "python: KeyError 'keyid'" <<<"$seen"
grep -q "as python wrote it: refused: accepted signatures do not match threshold, Found: 0" <<<"$seen"
grep -q "keyid empty: accepted" <<<"$seen"
