package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// records: what goes in comes out, in order within each partition, with null and empty told apart.
func records(ctx context.Context, e *env) error {
	topic, err := e.topic(ctx, 3, nil)
	if err != nil {
		return err
	}
	producer := e.client(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer producer.Close()
	const count = 3000
	var sent []*kgo.Record
	for n := range count {
		record := &kgo.Record{Partition: int32(n % 3), Key: fmt.Appendf(nil, "k%d", n), Value: fmt.Appendf(nil, "v%d", n)}
		switch n % 10 {
		case 0:
			record.Key = nil
		case 1:
			record.Value = nil
		case 2:
			record.Value = []byte{}
		}
		sent = append(sent, record)
	}
	if err := producer.ProduceSync(ctx, sent...).FirstErr(); err != nil {
		return err
	}
	consumer := e.client(kgo.ConsumeTopics(topic))
	defer consumer.Close()
	got, err := take(ctx, consumer, count)
	if err != nil {
		return err
	}
	next := map[int32]int64{}
	for _, record := range got {
		if record.Offset != next[record.Partition] {
			return fmt.Errorf("partition %d: offset %d came, wanted %d", record.Partition, record.Offset, next[record.Partition])
		}
		next[record.Partition]++
		original := sent[record.Offset*3+int64(record.Partition)]
		if !bytes.Equal(record.Key, original.Key) || (record.Key == nil) != (original.Key == nil) {
			return fmt.Errorf("key %v became %v", original.Key, record.Key)
		}
		if !bytes.Equal(record.Value, original.Value) || (record.Value == nil) != (original.Value == nil) {
			return fmt.Errorf("value %v became %v", original.Value, record.Value)
		}
	}
	return nil
}

// compressions: all five pass through.
func compressions(ctx context.Context, e *env) error {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		topic, err := e.topic(ctx, 1, nil)
		if err != nil {
			return err
		}
		producer := e.client(kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(20*time.Millisecond))
		value := bytes.Repeat([]byte("again and "), 100)
		for range 200 {
			producer.Produce(ctx, &kgo.Record{Value: value}, nil)
		}
		err = producer.Flush(ctx)
		producer.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		consumer := e.client(kgo.ConsumeTopics(topic))
		got, err := take(ctx, consumer, 200)
		consumer.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, record := range got {
			if !bytes.Equal(record.Value, value) {
				return fmt.Errorf("%s: another value came", name)
			}
		}
	}
	return nil
}

// headers: order, duplicates, null and empty are kept.
func headers(ctx context.Context, e *env) error {
	topic, err := e.topic(ctx, 1, nil)
	if err != nil {
		return err
	}
	client := e.client(kgo.DefaultProduceTopic(topic), kgo.ConsumeTopics(topic))
	defer client.Close()
	wanted := []kgo.RecordHeader{
		{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "null"}, {Key: "", Value: []byte{}}, {Key: "a", Value: []byte("1")},
	}
	if err := client.ProduceSync(ctx, &kgo.Record{Value: []byte("v"), Headers: wanted}).FirstErr(); err != nil {
		return err
	}
	got, err := take(ctx, client, 1)
	if err != nil {
		return err
	}
	for n, header := range got[0].Headers {
		if header.Key != wanted[n].Key || !bytes.Equal(header.Value, wanted[n].Value) || (header.Value == nil) != (wanted[n].Value == nil) {
			return fmt.Errorf("header %d: found %v, wanted %v", n, header, wanted[n])
		}
	}
	return same("headers", len(got[0].Headers), len(wanted))
}

// large: around the limit of a topic, on both sides.
func large(ctx context.Context, e *env) error {
	topic, err := e.topic(ctx, 1, map[string]*string{"max.message.bytes": text("2000000")})
	if err != nil {
		return err
	}
	client := e.client(kgo.DefaultProduceTopic(topic), kgo.ConsumeTopics(topic), kgo.ProducerBatchMaxBytes(8<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer client.Close()
	fits := bytes.Repeat([]byte("x"), 1_900_000)
	if err := client.ProduceSync(ctx, &kgo.Record{Value: fits}).FirstErr(); err != nil {
		return err
	}
	err = client.ProduceSync(ctx, &kgo.Record{Value: bytes.Repeat([]byte("x"), 2_100_000)}).FirstErr()
	if !errors.Is(err, kerr.MessageTooLarge) {
		return fmt.Errorf("too large a record: %v", err)
	}
	got, err := take(ctx, client, 1)
	if err != nil {
		return err
	}
	return same("size", len(got[0].Value), len(fits))
}

// byTime: offsets by timestamp, and consuming from there.
func byTime(ctx context.Context, e *env) error {
	topic, err := e.topic(ctx, 1, nil)
	if err != nil {
		return err
	}
	client := e.client(kgo.DefaultProduceTopic(topic))
	defer client.Close()
	base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for n := range 50 {
		record := &kgo.Record{Value: fmt.Appendf(nil, "%d", n), Timestamp: base.Add(time.Duration(n) * time.Second)}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	offsets, err := kadm.NewClient(client).ListOffsetsAfterMilli(ctx, base.Add(10500*time.Millisecond).UnixMilli(), topic)
	if err != nil {
		return err
	}
	found, _ := offsets.Lookup(topic, 0)
	if err := same("offset by time", found.Offset, 11); err != nil {
		return err
	}
	maximum, err := kadm.NewClient(client).ListMaxTimestampOffsets(ctx, topic)
	if err != nil {
		return err
	}
	found, _ = maximum.Lookup(topic, 0)
	if err := same("offset of the latest time", found.Offset, 49); err != nil {
		return err
	}
	consumer := e.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AfterMilli(base.Add(40 * time.Second).UnixMilli())}}))
	defer consumer.Close()
	got, err := take(ctx, consumer, 10)
	if err != nil {
		return err
	}
	return same("first value", string(got[0].Value), "40")
}

// produceUntil: an idempotent producer, and one line `acked <partition> <offset> <value>` for each acknowledged record. It goes on
// until it is killed, or as `until` has it. Arguments: topic, value prefix, and those of `until`.
func produceUntil(_ context.Context, e *env) error {
	// Longer than any restart in between: what is retried must succeed in the end.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	topic, prefix := e.arguments[0], e.arguments[1]
	over, pause, err := until(e.arguments[2:])
	if err != nil {
		return err
	}
	client := e.client(
		kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
		kgo.ProducerLinger(time.Millisecond), kgo.MaxBufferedRecords(500),
		kgo.RetryTimeout(3*time.Minute), kgo.RecordDeliveryTimeout(0), kgo.RequestRetries(1<<30),
	)
	defer client.Close()
	failed := make(chan error, 1)
	for n := 0; !over(n); n++ {
		select {
		case err := <-failed:
			return err
		default:
		}
		value := fmt.Sprintf("%s-%d", prefix, n)
		client.Produce(ctx, &kgo.Record{Value: []byte(value)}, func(record *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- fmt.Errorf("record %s: %w", value, err):
				default:
				}
				return
			}
			fmt.Printf("acked %d %d %s\n", record.Partition, record.Offset, value)
		})
		time.Sleep(pause)
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// until reads when to stop: after a number of records, or with "-" when standard input ends; then a number of records per second
// may follow.
func until(arguments []string) (over func(n int) bool, pause time.Duration, err error) {
	if len(arguments) > 1 {
		var perSecond int
		if _, err := fmt.Sscan(arguments[1], &perSecond); err != nil {
			return nil, 0, err
		}
		pause = time.Second / time.Duration(perSecond)
	}
	if arguments[0] != "-" {
		var count int
		_, err := fmt.Sscan(arguments[0], &count)
		return func(n int) bool { return n >= count }, pause, err
	}
	var ended atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		ended.Store(true)
	}()
	return func(int) bool { return ended.Load() }, pause, nil
}
