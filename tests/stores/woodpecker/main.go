// One owner of a Woodpecker log, told what to do line by line: Milvus's own client on a store.
//
// It reads JSON commands from standard input and answers each with one line that begins with
// "answer ". A log is opened with fencePolicy.conditionWrite: auto, as Milvus does.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"time"

	"github.com/zilliztech/woodpecker/common/config"
	"github.com/zilliztech/woodpecker/woodpecker"
	"github.com/zilliztech/woodpecker/woodpecker/log"
)

// Command is a line of standard input.
type Command struct {
	Do    string // open, own, write, read, truncate, overwrite or trail
	From  int    // of write: the first number
	Count int    // of write and read: how many entries
	Bytes int    // of write: the size of each
	At    int    // of truncate: the place in the log, as read
	Key   string // of overwrite and trail: the object
}

// Answer is a line of standard output.
type Answer struct {
	Error   string   `json:"error,omitempty"`
	Mode    string   `json:"mode,omitempty"`    // what detection made of conditionWrite
	Seconds float64  `json:"seconds"`           // how long the command took
	Written []int    `json:"written,omitempty"` // numbers of the entries that were acknowledged
	Refused []string `json:"refused,omitempty"` // what the others were told
	Read    []string `json:"read,omitempty"`    // owner and number of each entry, in order
	Damaged int      `json:"damaged,omitempty"` // how many came back changed
}

type owner struct {
	name, log string
	config    *config.Configuration
	client    woodpecker.Client
	handle    log.LogHandle
	writer    log.LogWriter
	ids       []*log.LogMessageId
}

func main() {
	var settings Settings
	if err := json.Unmarshal([]byte(os.Args[1]), &settings); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	one := &owner{name: settings.Owner, log: settings.Log, config: configuration(settings)}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var command Command
		if err := json.Unmarshal(lines.Bytes(), &command); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		began := time.Now()
		answer := one.obey(command, settings)
		answer.Seconds = time.Since(began).Seconds()
		text, _ := json.Marshal(answer)
		fmt.Printf("answer %s\n", text)
	}
}

func (o *owner) obey(command Command, settings Settings) Answer {
	ctx := context.Background()
	switch command.Do {
	case "open":
		return o.open(ctx)
	case "own":
		writer, err := o.handle.OpenLogWriter(ctx)
		o.writer = writer
		return failed(err)
	case "write":
		return o.write(ctx, command)
	case "read":
		return o.read(ctx, command.Count)
	case "truncate":
		return failed(o.handle.Truncate(ctx, o.ids[command.At]))
	case "overwrite":
		return failed(overwrite(ctx, settings, command.Key))
	case "trail":
		return failed(trail(ctx, settings, command.Key))
	}
	return Answer{Error: "no such command: " + command.Do}
}

func failed(err error) Answer {
	if err != nil {
		return Answer{Error: err.Error()}
	}
	return Answer{}
}

func (o *owner) open(ctx context.Context) Answer {
	client, err := woodpecker.NewEmbedClientFromConfig(ctx, o.config)
	if err != nil {
		return failed(err)
	}
	o.client = client
	there, err := client.LogExists(ctx, o.log)
	if err == nil && !there {
		err = client.CreateLog(ctx, o.log)
	}
	if err == nil {
		o.handle, err = client.OpenLog(ctx, o.log)
	}
	answer := failed(err)
	answer.Mode = o.config.Woodpecker.Logstore.FencePolicy.ConditionWrite
	return answer
}

// entry returns the content of an entry: who wrote it, its number, and bytes that a sum covers.
func entry(name string, number, size int) []byte {
	filling := strings.Repeat(fmt.Sprintf("%016x", (number+1)*2654435761), 1+size/16)[:size]
	return fmt.Appendf(nil, "%s %d %08x %s", name, number, crc32.ChecksumIEEE([]byte(filling)), filling)
}

func (o *owner) write(ctx context.Context, command Command) Answer {
	limited, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	results := make([]<-chan *log.WriteResult, command.Count)
	for at := range results {
		payload := entry(o.name, command.From+at, command.Bytes)
		results[at] = o.writer.WriteAsync(limited, &log.WriteMessage{Payload: payload})
	}
	var answer Answer
	for at, result := range results {
		select {
		case found := <-result:
			if found.Err == nil {
				answer.Written = append(answer.Written, command.From+at)
			} else {
				answer.Refused = append(answer.Refused, found.Err.Error())
			}
		case <-limited.Done():
			answer.Refused = append(answer.Refused, "no answer")
		}
	}
	return answer
}

func (o *owner) read(ctx context.Context, count int) Answer {
	earliest := log.EarliestLogMessageID()
	reader, err := o.handle.OpenLogReader(ctx, &earliest, fmt.Sprintf("reader-%d", time.Now().UnixNano()))
	if err != nil {
		return failed(err)
	}
	defer reader.Close(ctx)
	var answer Answer
	o.ids = nil
	for len(answer.Read) < count {
		limited, cancel := context.WithTimeout(ctx, 30*time.Second)
		message, err := reader.ReadNext(limited)
		cancel()
		if err != nil {
			answer.Error = err.Error()
			break
		}
		parts := strings.SplitN(string(message.Payload), " ", 4)
		if len(parts) != 4 || parts[2] != fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(parts[3]))) {
			answer.Damaged++
			continue
		}
		answer.Read = append(answer.Read, parts[0]+" "+parts[1])
		o.ids = append(o.ids, message.Id)
	}
	return answer
}
