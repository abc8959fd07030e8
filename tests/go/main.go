// Command go-cases runs one end-to-end case with franz-go against the broker named on its command line:
//
//	go-cases HOST:PORT[,…] CASE [ARGUMENT…]
//
// It prints what it found and ends with 0 when the broker did what Kafka does.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var cases = map[string]func(ctx context.Context, e *env) error{
	"records":          records,
	"compressions":     compressions,
	"headers":          headers,
	"large":            large,
	"time":             byTime,
	"group":            group,
	"static":           staticMember,
	"cooperative":      cooperative,
	"commits":          commits,
	"admin":            admin,
	"delete-records":   deleteRecords,
	"errors":           wrongInput,
	"regex":            regex,
	"produce-until":    produceUntil,
	"list-transitions": groupStates,
}

// env is where a case runs.
type env struct {
	seed      string
	arguments []string
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: go-cases HOST:PORT[,…] CASE [ARGUMENT…]")
		os.Exit(2)
	}
	run, known := cases[os.Args[2]]
	if !known {
		fmt.Fprintf(os.Stderr, "no case named %q\n", os.Args[2])
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	if err := run(ctx, &env{seed: os.Args[1], arguments: os.Args[3:]}); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[2], err)
		os.Exit(1)
	}
}

func (e *env) client(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(e.seed, ",")...), kgo.FetchMaxWait(200 * time.Millisecond)}, options...)...)
	if err != nil {
		panic(err) // an option that does not exist: this program is wrong
	}
	return client
}

// topic creates a topic under a name of its own.
func (e *env) topic(ctx context.Context, partitions int32, configs map[string]*string) (string, error) {
	client := e.client()
	defer client.Close()
	name := fmt.Sprintf("go-%d-%d", os.Getpid(), time.Now().UnixNano())
	created, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, configs, name)
	if err != nil {
		return "", fmt.Errorf("create %s: %w", name, err)
	}
	return name, created.Err
}

func text(value string) *string { return &value }

func same(what string, found, wanted any) error {
	if fmt.Sprint(found) != fmt.Sprint(wanted) {
		return fmt.Errorf("%s: found %v, wanted %v", what, found, wanted)
	}
	return nil
}

// take polls until count records came.
func take(ctx context.Context, client *kgo.Client, count int) ([]*kgo.Record, error) {
	var got []*kgo.Record
	for len(got) < count {
		fetches := client.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			return nil, fmt.Errorf("after %d of %d records: %w", len(got), count, errs[0].Err)
		}
		got = append(got, fetches.Records()...)
	}
	if len(got) > count {
		return nil, fmt.Errorf("%d records came, wanted %d", len(got), count)
	}
	return got, nil
}
