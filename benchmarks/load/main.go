// Command load makes gRPC calls from prepared messages, each sent once and in order, and prints what came of them as JSON.
//
// It writes HTTP/2 frames itself, because it shares the processors with the server that it measures: a gRPC client in
// Go would cost several times as much.
package main

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"sort"
	"sync/atomic"
	"syscall"
	"time"
)

// What is printed: times in microseconds, `rate` in calls a second. Warming calls are in none of it.
type result struct {
	Calls   int            `json:"calls"`
	Seconds float64        `json:"seconds"`
	Rate    float64        `json:"rate"`
	P50     int64          `json:"p50"`
	P99     int64          `json:"p99"`
	CPU     float64        `json:"cpu"` // of this program, a call
	Errors  map[string]int `json:"errors"`
	Bytes   int64          `json:"bytes"` // of all answers
	Starts  []int64        `json:"starts,omitempty"`
	Took    []int64        `json:"took,omitempty"`
}

func main() {
	log.SetFlags(0)
	address := flag.String("address", "", "host:port of the server, plaintext")
	path := flag.String("path", "", "/package.Service/Method")
	key := flag.String("key", "", "value of x-api-key")
	bodies := flag.String("bodies", "", "file of messages, each behind a zero byte and its length in four bytes")
	inFlight := flag.Int("in-flight", 1, "calls at once")
	connections := flag.Int("connections", 1, "connections that share them")
	calls := flag.Int("calls", 0, "calls in all, from the first message again behind the last; 0 is one a message")
	warm := flag.Int("warm", 0, "the first of these calls, that do not count")
	rate := flag.Float64("rate", 0, "calls a second, however many are in flight then; 0 is as fast as the answers come")
	each := flag.Bool("each", false, "print when each call started (microseconds since 1970) and how long it took, too")
	flag.Parse()
	// One is enough, and two would wake each other.
	runtime.GOMAXPROCS(1)

	messages := read(*bodies)
	if *calls == 0 {
		*calls = len(messages)
	}
	dialled := make([]*connection, min(*connections, *inFlight))
	for i := range dialled {
		dialled[i] = dial(*address, *path, *key)
	}
	all := make([]call, *calls)
	for i := range all {
		all[i] = call{connection: dialled[i%len(dialled)], message: messages[i%len(messages)]}
	}
	closed(dialled, all[:*warm], *inFlight)
	before, timed := cpu(), all[*warm:]
	start := time.Now()
	if *rate > 0 {
		open(timed, *rate)
	} else {
		closed(dialled, timed, *inFlight)
	}
	sum := summary(timed, time.Since(start), cpu()-before, *each)
	for i := range all[:*warm] {
		if all[i].status != "0" {
			sum.Errors["warming: "+all[i].status]++
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(sum); err != nil {
		log.Fatal(err)
	}
}

// read gives messages with their gRPC prefix, which is what the file has.
func read(name string) [][]byte {
	data, err := os.ReadFile(name)
	if err != nil {
		log.Fatal(err)
	}
	var messages [][]byte
	for len(data) > 0 {
		if len(data) < 5 || len(data) < 5+int(binary.BigEndian.Uint32(data[1:])) {
			log.Fatalf("%s ends within a message", name)
		}
		size := 5 + int(binary.BigEndian.Uint32(data[1:]))
		messages, data = append(messages, data[:size]), data[size:]
	}
	if len(messages) == 0 {
		log.Fatalf("%s has no messages", name)
	}
	return messages
}

// closed keeps so many calls in flight until all are answered.
func closed(dialled []*connection, calls []call, inFlight int) {
	var next atomic.Int64
	finished := make(chan struct{})
	for worker := range inFlight {
		go func() {
			answered := make(chan *call, 1)
			for {
				i := int(next.Add(1)) - 1
				if i >= len(calls) {
					break
				}
				calls[i].connection = dialled[worker%len(dialled)]
				calls[i].begin(time.Now(), answered)
				<-answered
			}
			finished <- struct{}{}
		}()
	}
	for range inFlight {
		<-finished
	}
}

// open begins calls at their times, whatever became of the ones before. A call is timed from when it was due.
func open(calls []call, rate float64) {
	answered := make(chan *call, len(calls))
	sent := make(chan struct{})
	go func() {
		// Go's own timers wake up to a millisecond late.
		runtime.LockOSThread()
		start := time.Now()
		for i := range calls {
			due := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
			if wait := time.Until(due); wait > 0 {
				left := syscall.NsecToTimespec(int64(wait))
				for syscall.Nanosleep(&left, &left) == syscall.EINTR {
				}
			}
			calls[i].begin(due, answered)
		}
		close(sent)
	}()
	for range calls {
		<-answered
	}
	<-sent
}

func summary(calls []call, took time.Duration, cpu time.Duration, each bool) result {
	sum := result{Calls: len(calls), Seconds: took.Seconds(), Errors: map[string]int{}}
	sum.Rate = float64(len(calls)) / took.Seconds()
	latencies := make([]int64, len(calls))
	for i := range calls {
		latencies[i] = calls[i].end.Sub(calls[i].start).Microseconds()
		sum.Bytes += int64(calls[i].received)
		if calls[i].status != "0" {
			sum.Errors[calls[i].status]++
		}
		if each {
			sum.Starts = append(sum.Starts, calls[i].start.UnixMicro())
		}
	}
	if each {
		sum.Took = append(sum.Took, latencies...)
	}
	if len(calls) > 0 {
		sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
		sum.P50, sum.P99 = latencies[len(calls)/2], latencies[len(calls)*99/100]
		sum.CPU = float64(cpu.Microseconds()) / float64(len(calls))
	}
	return sum
}

func cpu() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		log.Fatal(fmt.Errorf("getrusage: %w", err))
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
