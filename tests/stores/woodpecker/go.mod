module kit.invalid/woodpecker

go 1.26.0

require (
	github.com/minio/minio-go/v7 v7.0.73
	github.com/zilliztech/woodpecker v0.1.29
)
