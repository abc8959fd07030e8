package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func groupName() string { return fmt.Sprintf("go-group-%d-%d", os.Getpid(), time.Now().UnixNano()) }

// fill produces count records over all partitions of a topic.
func (e *env) fill(ctx context.Context, topic string, count int) error {
	client := e.client(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	defer client.Close()
	var batch []*kgo.Record
	for n := range count {
		batch = append(batch, &kgo.Record{Value: fmt.Appendf(nil, "%d", n)})
	}
	return client.ProduceSync(ctx, batch...).FirstErr()
}

// group: members come and go; every record is read by someone.
func group(ctx context.Context, e *env) error {
	return members(ctx, e, kgo.RangeBalancer())
}

// cooperative: the same with incremental rebalancing.
func cooperative(ctx context.Context, e *env) error {
	return members(ctx, e, kgo.CooperativeStickyBalancer())
}

func members(ctx context.Context, e *env, balancer kgo.GroupBalancer) error {
	topic, err := e.topic(ctx, 6, nil)
	if err != nil {
		return err
	}
	const count = 3000
	if err := e.fill(ctx, topic, count); err != nil {
		return err
	}
	name := groupName()
	seen := map[string]int{}
	var lock sync.Mutex
	done, finish := context.WithCancel(ctx)
	defer finish()
	member := func(leaveAfter int) {
		client := e.client(kgo.ConsumerGroup(name), kgo.ConsumeTopics(topic), kgo.Balancers(balancer),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(100*time.Millisecond), kgo.DisableAutoCommit())
		defer client.Close()
		mine := 0
		for done.Err() == nil && (leaveAfter == 0 || mine < leaveAfter) {
			fetches := client.PollRecords(done, 50)
			lock.Lock()
			for _, record := range fetches.Records() {
				seen[string(record.Value)]++
				mine++
			}
			if len(seen) == count {
				finish()
			}
			lock.Unlock()
			if err := client.CommitUncommittedOffsets(ctx); err != nil && done.Err() == nil && !retriable(err) {
				fmt.Println("commit:", err)
			}
		}
	}
	var all sync.WaitGroup
	for _, leaveAfter := range []int{100, 0, 0} {
		all.Go(func() { member(leaveAfter) })
		time.Sleep(200 * time.Millisecond)
	}
	all.Wait()
	return same("records seen by the group", len(seen), count)
}

// A commit that meets a rebalance is no fault: the records are read again by their new owner.
func retriable(err error) bool {
	return errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID)
}

// staticMember: an instance that comes back gets its partitions without a rebalance, under a new member id.
func staticMember(ctx context.Context, e *env) error {
	topic, err := e.topic(ctx, 2, nil)
	if err != nil {
		return err
	}
	if err := e.fill(ctx, topic, 10); err != nil {
		return err
	}
	name := groupName()
	join := func() *kgo.Client {
		return e.client(kgo.ConsumerGroup(name), kgo.ConsumeTopics(topic), kgo.InstanceID("one"),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(30*time.Second))
	}
	first := join()
	if _, err := take(ctx, first, 10); err != nil {
		return err
	}
	if err := first.CommitUncommittedOffsets(ctx); err != nil {
		return err
	}
	_, before := first.GroupMetadata()
	first.Close()
	second := join()
	defer second.Close()
	if err := e.fill(ctx, topic, 10); err != nil {
		return err
	}
	if _, err := take(ctx, second, 10); err != nil {
		return err
	}
	_, after := second.GroupMetadata()
	return same("generation after a static member came back", after, before)
}

// commits: offsets of a group that has no members, their metadata, and their deletion.
func commits(ctx context.Context, e *env) error {
	topic, err := e.topic(ctx, 2, nil)
	if err != nil {
		return err
	}
	if err := e.fill(ctx, topic, 20); err != nil {
		return err
	}
	client := e.client()
	defer client.Close()
	adm := kadm.NewClient(client)
	name := groupName()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 4, LeaderEpoch: 0, Metadata: "a note"})
	offsets.Add(kadm.Offset{Topic: topic, Partition: 1, At: 7, LeaderEpoch: -1})
	if err := adm.CommitAllOffsets(ctx, name, offsets); err != nil {
		return err
	}
	fetched, err := adm.FetchOffsets(ctx, name)
	if err != nil {
		return err
	}
	first, _ := fetched.Lookup(topic, 0)
	second, _ := fetched.Lookup(topic, 1)
	if err := same("committed", []any{first.At, first.Metadata, second.At}, []any{4, "a note", 7}); err != nil {
		return err
	}
	lags, err := adm.Lag(ctx, name)
	if err != nil {
		return err
	}
	if err := same("lag", lags[name].Lag.Total(), 20-4-7); err != nil {
		return err
	}
	var one kadm.TopicsSet
	one.Add(topic, 1)
	if _, err := adm.DeleteOffsets(ctx, name, one); err != nil {
		return err
	}
	fetched, err = adm.FetchOffsets(ctx, name)
	if err != nil {
		return err
	}
	if _, there := fetched.Lookup(topic, 1); there {
		return errors.New("a deleted offset is still there")
	}
	if _, err := adm.DeleteGroup(ctx, name); err != nil {
		return err
	}
	listed, err := adm.ListGroups(ctx)
	if err != nil {
		return err
	}
	if _, there := listed[name]; there {
		return errors.New("a deleted group is still listed")
	}
	_, err = adm.DeleteGroup(ctx, name)
	if !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("deleting a group that is not there: %v", err)
	}
	return nil
}

// groupStates: what is told about a group while it has a member and after.
func groupStates(ctx context.Context, e *env) error {
	topic, err := e.topic(ctx, 2, nil)
	if err != nil {
		return err
	}
	if err := e.fill(ctx, topic, 4); err != nil {
		return err
	}
	name := groupName()
	member := e.client(kgo.ConsumerGroup(name), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ClientID("the-member"))
	if _, err := take(ctx, member, 4); err != nil {
		return err
	}
	client := e.client()
	defer client.Close()
	adm := kadm.NewClient(client)
	described, err := adm.DescribeGroups(ctx, name)
	if err != nil {
		return err
	}
	one := described[name]
	if err := same("state", []any{one.State, one.ProtocolType, len(one.Members)}, []any{"Stable", "consumer", 1}); err != nil {
		return err
	}
	if err := same("member", []any{one.Members[0].ClientID, one.AssignedPartitions().Lookup(topic, 1)}, []any{"the-member", true}); err != nil {
		return err
	}
	if _, err := adm.DeleteGroup(ctx, name); !errors.Is(err, kerr.NonEmptyGroup) {
		return fmt.Errorf("deleting a group with a member: %v", err)
	}
	if err := member.CommitUncommittedOffsets(ctx); err != nil {
		return err
	}
	member.Close()
	described, err = adm.DescribeGroups(ctx, name)
	if err != nil {
		return err
	}
	return same("state after the last member left", described[name].State, "Empty")
}
