// Verifies DSSE envelopes with the reference implementation in Go: one envelope a line on standard
// input, an ed25519 public key in PEM as the only argument. Prints the predicate of each.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/signerverifier"
)

func main() {
	pem, err := os.ReadFile(os.Args[1])
	fail(err)
	key, err := signerverifier.LoadKey(pem)
	fail(err)
	verifier, err := signerverifier.NewED25519SignerVerifierFromSSLibKey(key)
	fail(err)

	envelopes, err := dsse.NewEnvelopeVerifier(verifier)
	fail(err)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var envelope dsse.Envelope
		fail(json.Unmarshal(lines.Bytes(), &envelope))
		_, err := envelopes.Verify(context.Background(), &envelope)
		fail(err)
		payload, err := envelope.DecodeB64Payload()
		fail(err)
		var statement struct {
			Type          string `json:"_type"`
			PredicateType string `json:"predicateType"`
		}
		fail(json.Unmarshal(payload, &statement))
		fmt.Println(statement.Type, statement.PredicateType)
	}
	fail(lines.Err())
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
