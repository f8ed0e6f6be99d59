package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/zilliztech/woodpecker/common/config"
)

// Settings are the program's argument.
type Settings struct {
	Owner, Log             string
	Etcd, Store            string // host:port of each
	Bucket, Access, Secret string
	Folder                 string // which Woodpecker takes for its own
}

func configuration(settings Settings) *config.Configuration {
	made, err := config.NewConfiguration()
	if err != nil {
		panic(err)
	}
	host, port, err := net.SplitHostPort(settings.Store)
	if err != nil {
		panic(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		panic(err)
	}
	made.Log.Level = "warn"
	made.Etcd.Endpoints = []string{settings.Etcd}
	made.Woodpecker.Storage.Type = "minio"
	made.Woodpecker.Storage.RootPath = settings.Folder
	// What Milvus sets, where it differs from Woodpecker's own defaults.
	made.Woodpecker.Logstore.SegmentSyncPolicy.MaxFlushSize = config.ByteSize(2_000_000)
	made.Woodpecker.Logstore.SegmentSyncPolicy.MaxInterval = config.NewDurationMillisecondsFromInt(200)
	made.Minio.Address, made.Minio.Port = host, number
	made.Minio.AccessKeyID, made.Minio.SecretAccessKey = settings.Access, settings.Secret
	made.Minio.BucketName, made.Minio.CreateBucket = settings.Bucket, false
	made.Minio.RootPath, made.Minio.Region = "files", "us-east-1"
	return made
}

func store(settings Settings, trailing bool) (*minio.Client, error) {
	return minio.New(settings.Store, &minio.Options{
		Creds:           credentials.NewStaticV4(settings.Access, settings.Secret, ""),
		Region:          "us-east-1",
		TrailingHeaders: trailing,
	})
}

// overwrite writes 40 MiB on the condition that the key is absent, as a large block goes.
func overwrite(ctx context.Context, settings Settings, key string) error {
	client, err := store(settings, false)
	if err != nil {
		return err
	}
	var options minio.PutObjectOptions
	options.SetMatchETagExcept("*")
	return put(ctx, client, settings.Bucket, key, options)
}

// trail writes 40 MiB in parts with trailing checksums.
func trail(ctx context.Context, settings Settings, key string) error {
	client, err := store(settings, true)
	if err != nil {
		return err
	}
	return put(ctx, client, settings.Bucket, key, minio.PutObjectOptions{})
}

func put(ctx context.Context, client *minio.Client, bucket, key string, options minio.PutObjectOptions) error {
	body := bytes.Repeat([]byte("0123456789abcde\n"), 40<<20/16)
	_, err := client.PutObject(ctx, bucket, key, bytes.NewReader(body), int64(len(body)), options)
	if err != nil {
		return fmt.Errorf("%w", err)
	}
	return nil
}
