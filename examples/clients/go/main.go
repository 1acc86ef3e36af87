// A client of the jobs service that knows nothing of it but its .proto files (gen/ is generated from them).
//
//	HEADRACE_TARGET=127.0.0.1:50051 HEADRACE_TOKEN=… client-go
//
// It has a bad job refused, enqueues a good one twice under one key, and waits until that job has ended.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"headrace.example/client/gen/jobsv1"
	"headrace.example/client/gen/saasv1"
)

const callTimeout = 30 * time.Second

// Spreads calls over every address of the target, and repeats them while the service is away: safe with an idempotency
// key. grpc-go reads the service's own pushback besides.
const serviceConfig = `{
  "loadBalancingConfig": [{"round_robin": {}}],
  "methodConfig": [{"name": [{"service": "headrace.jobs.v1.JobsService"}], "retryPolicy": {
    "maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "2s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]}}]
}`

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "client-go:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	target := os.Getenv("HEADRACE_TARGET")
	if target == "" {
		target = "127.0.0.1:50051"
	}
	channel, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig))
	if err != nil {
		return err
	}
	defer channel.Close()
	jobs := jobsv1.NewJobsServiceClient(channel)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+os.Getenv("HEADRACE_TOKEN"))

	if _, err := enqueue(ctx, jobs, "no-uuid", "example:"+rand.Text()); err == nil || !explain(err) {
		return fmt.Errorf("a bad job was not refused as one: %w", err)
	}

	mailID := newUUID()
	key := "example:" + mailID
	enqueued, err := enqueue(ctx, jobs, mailID, key)
	if err != nil {
		return err
	}
	fmt.Printf("enqueued: job %s\n", enqueued.JobId)
	again, err := enqueue(ctx, jobs, mailID, key)
	if err != nil {
		return err
	}
	fmt.Printf("enqueued again: job %s%s\n", again.JobId, map[bool]string{true: ", a duplicate"}[again.Duplicate])

	job, err := wait(ctx, jobs, enqueued.JobId)
	if err != nil {
		return err
	}
	fmt.Printf("ended: job %s is %s\n", job.Id, name(job.State))
	return nil
}

func enqueue(ctx context.Context, jobs jobsv1.JobsServiceClient, mailID, key string) (*jobsv1.EnqueueResponse, error) {
	payload, err := anypb.New(&saasv1.SendVerificationEmail{MailId: mailID})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		answer, err := jobs.Enqueue(ctx, &jobsv1.EnqueueRequest{Payload: payload, IdempotencyKey: key})
		asked, busy := retryAfter(err)
		if !busy {
			return answer, err
		}
		select { // over a limit: the service says when to come back
		case <-time.After(asked):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// explain prints what the service says is wrong with a request, field by field.
func explain(err error) bool {
	reason, found := "", false
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			reason = info.Reason
		}
	}
	for _, detail := range status.Convert(err).Details() {
		if wrong, ok := detail.(*errdetails.BadRequest); ok {
			for _, violation := range wrong.FieldViolations {
				fmt.Printf("refused (%s): %s: %s\n", reason, violation.Field, violation.Description)
				found = true
			}
		}
	}
	return found
}

func retryAfter(err error) (time.Duration, bool) {
	if status.Code(err) != codes.ResourceExhausted {
		return 0, false
	}
	for _, detail := range status.Convert(err).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return retry.RetryDelay.AsDuration(), true
		}
	}
	return 0, false
}

// wait looks at a job, less and less often, until it has ended.
func wait(ctx context.Context, jobs jobsv1.JobsServiceClient, id string) (*jobsv1.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(pause*3/2, time.Second) {
		answer, err := jobs.GetJob(ctx, &jobsv1.GetJobRequest{JobId: id})
		if err != nil {
			return nil, err
		}
		switch answer.Job.State {
		case jobsv1.JobState_JOB_STATE_COMPLETED, jobsv1.JobState_JOB_STATE_CANCELLED,
			jobsv1.JobState_JOB_STATE_DISCARDED, jobsv1.JobState_JOB_STATE_QUARANTINED:
			return answer.Job, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("job %s has not ended: it is %s", id, name(answer.Job.State))
		}
	}
}

func name(state jobsv1.JobState) string {
	return strings.ToLower(strings.TrimPrefix(state.String(), "JOB_STATE_"))
}

func newUUID() string {
	var bytes [16]byte
	_, _ = rand.Read(bytes[:]) // never fails
	bytes[6], bytes[8] = bytes[6]&0x0f|0x40, bytes[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", bytes[:4], bytes[4:6], bytes[6:8], bytes[8:10], bytes[10:])
}
