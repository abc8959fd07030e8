package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// admin: the life of a topic.
func admin(ctx context.Context, e *env) error {
	client := e.client()
	defer client.Close()
	adm := kadm.NewClient(client)
	topic, err := e.topic(ctx, 2, map[string]*string{"retention.ms": text("3600000")})
	if err != nil {
		return err
	}
	again, err := adm.CreateTopics(ctx, 2, 1, nil, topic)
	if err != nil {
		return err
	}
	if !errors.Is(again[topic].Err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("creating a topic twice: %v", again[topic].Err)
	}
	if err := config(ctx, adm, topic, "retention.ms", "3600000"); err != nil {
		return err
	}
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "segment.bytes", Value: text("2097152")}, {Op: kadm.DeleteConfig, Name: "retention.ms"}}
	altered, err := adm.AlterTopicConfigs(ctx, change, topic)
	if err != nil {
		return err
	}
	if altered[0].Err != nil {
		return altered[0].Err
	}
	if err := errors.Join(config(ctx, adm, topic, "segment.bytes", "2097152"), config(ctx, adm, topic, "retention.ms", "604800000")); err != nil {
		return err
	}
	more, err := adm.UpdatePartitions(ctx, 5, topic)
	if err != nil {
		return err
	}
	if more[topic].Err != nil {
		return more[topic].Err
	}
	details, err := adm.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	if err := same("partitions", len(details[topic].Partitions), 5); err != nil {
		return err
	}
	fewer, err := adm.UpdatePartitions(ctx, 3, topic)
	if err != nil {
		return err
	}
	if !errors.Is(fewer[topic].Err, kerr.InvalidPartitions) {
		return fmt.Errorf("fewer partitions: %v", fewer[topic].Err)
	}
	deleted, err := adm.DeleteTopics(ctx, topic)
	if err != nil {
		return err
	}
	if deleted[topic].Err != nil {
		return deleted[topic].Err
	}
	deleted, err = adm.DeleteTopics(ctx, topic)
	if err != nil {
		return err
	}
	if !errors.Is(deleted[topic].Err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("deleting a topic that is gone: %v", deleted[topic].Err)
	}
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		return err
	}
	return same("brokers", len(brokers), 1)
}

func config(ctx context.Context, adm *kadm.Client, topic, name, wanted string) error {
	described, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	for _, found := range described[0].Configs {
		if found.Key == name {
			return same(name, found.MaybeValue(), wanted)
		}
	}
	return fmt.Errorf("%s is not among the configs of a topic", name)
}

// deleteRecords: the beginning of a log moves, and stays moved.
func deleteRecords(ctx context.Context, e *env) error {
	topic, err := e.topic(ctx, 1, nil)
	if err != nil {
		return err
	}
	if err := e.fill(ctx, topic, 100); err != nil {
		return err
	}
	// Not the client that consumes: that one fetches from its birth on, and may have all the records before they are deleted.
	asking := e.client()
	defer asking.Close()
	adm := kadm.NewClient(asking)
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 60})
	deleted, err := adm.DeleteRecords(ctx, offsets)
	if err != nil {
		return err
	}
	answer, _ := deleted.Lookup(topic, 0)
	if err := errors.Join(answer.Err, same("low watermark", answer.LowWatermark, 60)); err != nil {
		return err
	}
	start, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	found, _ := start.Lookup(topic, 0)
	if err := same("start", found.Offset, 60); err != nil {
		return err
	}
	client := e.client(kgo.ConsumeTopics(topic))
	defer client.Close()
	got, err := take(ctx, client, 40)
	if err != nil {
		return err
	}
	return same("first record left", string(got[0].Value), "60")
}

// wrongInput: what cannot be done is refused with Kafka's code.
func wrongInput(ctx context.Context, e *env) error {
	client := e.client()
	defer client.Close()
	adm := kadm.NewClient(client)
	creations := []struct {
		name        string
		partitions  int32
		replication int16
		configs     map[string]*string
		wanted      error
	}{
		{"a/b", 1, 1, nil, kerr.InvalidTopicException},
		{strings.Repeat("x", 250), 1, 1, nil, kerr.InvalidTopicException},
		{"no-partitions", 0, 1, nil, kerr.InvalidPartitions},
		{"too-many-replicas", 1, 3, nil, kerr.InvalidReplicationFactor},
		{"no-replicas", 1, 0, nil, kerr.InvalidReplicationFactor},
		{"unknown-config", 1, 1, map[string]*string{"no.such.config": text("1")}, kerr.InvalidConfig},
		{"bad-value", 1, 1, map[string]*string{"retention.ms": text("soon")}, kerr.InvalidConfig},
	}
	for _, creation := range creations {
		created, err := adm.CreateTopics(ctx, creation.partitions, creation.replication, creation.configs, creation.name)
		if err != nil {
			return err
		}
		if found := created[creation.name].Err; !errors.Is(found, creation.wanted) {
			return fmt.Errorf("creating %q: found %v, wanted %v", creation.name, found, creation.wanted)
		}
	}
	var nowhere kadm.Offsets
	nowhere.Add(kadm.Offset{Topic: "go-no-such-topic", Partition: 0, At: 1})
	if _, err := adm.DeleteRecords(ctx, nowhere); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("deleting records of no topic: %v", err)
	}
	return nil
}

// regex: a consumer that subscribes to a pattern finds topics that exist, and new ones.
func regex(ctx context.Context, e *env) error {
	first, err := e.topic(ctx, 1, nil)
	if err != nil {
		return err
	}
	if err := e.fill(ctx, first, 5); err != nil {
		return err
	}
	prefix := first[:strings.LastIndexByte(first, '-')]
	consumer := e.client(kgo.ConsumeRegex(), kgo.ConsumeTopics("^"+regexp.QuoteMeta(prefix)+"-.*"), kgo.MetadataMinAge(250e6), kgo.MetadataMaxAge(500e6))
	defer consumer.Close()
	if _, err := take(ctx, consumer, 5); err != nil {
		return err
	}
	second, err := e.topic(ctx, 1, nil)
	if err != nil {
		return err
	}
	if err := e.fill(ctx, second, 5); err != nil {
		return err
	}
	got, err := take(ctx, consumer, 5)
	if err != nil {
		return err
	}
	return same("topic", got[0].Topic, second)
}
