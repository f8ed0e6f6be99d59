module kit.invalid/dsse

go 1.24.0

require github.com/secure-systems-lab/go-securesystemslib v0.10.0

require (
	golang.org/x/crypto v0.46.0 // indirect
	golang.org/x/sys v0.39.0 // indirect
)
