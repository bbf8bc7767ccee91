package main

import (
	"bufio"
	"bytes"
	"log"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	window      = 1<<31 - 1 // the largest; answers are never to wait for us
	firstWindow = 65_535    // what a connection begins with, in either direction
	frameBytes  = 16_384
	deadline    = "120S"
)

// A call that is to be made, or was.
type call struct {
	connection *connection
	message    []byte
	start, end time.Time
	answered   chan<- *call
	status     string // gRPC's, as a decimal number
	received   int
	room       int // what the server takes of this call's message now
}

// begin sends the call. It waits only while the server takes no more.
func (c *call) begin(start time.Time, answered chan<- *call) {
	c.start, c.answered = start, answered
	c.connection.send(c)
}

// A connection to the server.
type connection struct {
	framer  *http2.Framer
	buffer  *bufio.Writer
	headers [2][]byte // of the first call, which fills the server's table, and of the others, which refer to it

	lock       sync.Mutex // of all below, and of writing
	moreRoom   *sync.Cond
	stream     uint32
	calls      map[uint32]*call
	room       int
	streamRoom int // of a new stream
	received   int
}

func dial(address, path, key string) *connection {
	socket, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	c := &connection{
		buffer: bufio.NewWriterSize(socket, 64*1024), calls: map[uint32]*call{}, stream: 1,
		room: firstWindow, streamRoom: firstWindow,
	}
	c.moreRoom = sync.NewCond(&c.lock)
	c.framer = http2.NewFramer(c.buffer, bufio.NewReaderSize(socket, 64*1024))
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.SetReuseFrames()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := range c.headers {
		block.Reset()
		for _, field := range []hpack.HeaderField{
			{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: path},
			{Name: ":authority", Value: address}, {Name: "te", Value: "trailers"},
			{Name: "content-type", Value: "application/grpc"}, {Name: "user-agent", Value: "load"},
			{Name: "grpc-timeout", Value: deadline}, {Name: "x-api-key", Value: key},
		} {
			must(encoder.WriteField(field))
		}
		c.headers[i] = bytes.Clone(block.Bytes())
	}
	_, err = c.buffer.WriteString(http2.ClientPreface)
	must(err)
	must(c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}))
	must(c.framer.WriteWindowUpdate(0, window-firstWindow))
	must(c.buffer.Flush())
	go c.receive()
	return c
}

func (c *connection) send(made *call) {
	c.lock.Lock()
	defer c.lock.Unlock()
	id, block := c.stream, c.headers[min(c.stream/2, 1)]
	c.stream += 2
	c.calls[id] = made
	made.room = c.streamRoom
	must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}))
	for left := made.message; len(left) > 0; {
		size := min(len(left), made.room, c.room, frameBytes)
		if size <= 0 {
			must(c.buffer.Flush())
			c.moreRoom.Wait()
			continue
		}
		must(c.framer.WriteData(id, size == len(left), left[:size]))
		left, made.room, c.room = left[size:], made.room-size, c.room-size
	}
	must(c.buffer.Flush())
}

func (c *connection) receive() {
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			log.Fatalf("the server ended the connection: %v", err)
		}
		c.lock.Lock()
		c.handle(frame)
		c.lock.Unlock()
	}
}

func (c *connection) handle(frame http2.Frame) {
	id := frame.Header().StreamID
	made := c.calls[id]
	switch frame := frame.(type) {
	case *http2.DataFrame:
		c.received += int(frame.Length)
		if made != nil {
			made.received += len(frame.Data())
		}
		if c.received > 1<<20 {
			must(c.framer.WriteWindowUpdate(0, uint32(c.received)))
			must(c.buffer.Flush())
			c.received = 0
		}
	case *http2.MetaHeadersFrame:
		if made == nil || !frame.StreamEnded() {
			return
		}
		status := "no status"
		for _, field := range frame.Fields {
			if field.Name == "grpc-status" {
				status = field.Value
			}
		}
		c.finish(id, made, status)
	case *http2.RSTStreamFrame:
		if made != nil {
			c.finish(id, made, "reset: "+frame.ErrCode.String())
		}
	case *http2.WindowUpdateFrame:
		if id == 0 {
			c.room += int(frame.Increment)
		} else if made != nil {
			made.room += int(frame.Increment)
		}
		c.moreRoom.Broadcast()
	case *http2.SettingsFrame:
		if frame.IsAck() {
			return
		}
		if size, ok := frame.Value(http2.SettingInitialWindowSize); ok {
			for _, other := range c.calls {
				other.room += int(size) - c.streamRoom
			}
			c.streamRoom = int(size)
			c.moreRoom.Broadcast()
		}
		must(c.framer.WriteSettingsAck())
		must(c.buffer.Flush())
	case *http2.PingFrame:
		if !frame.IsAck() {
			must(c.framer.WritePing(true, frame.Data))
			must(c.buffer.Flush())
		}
	case *http2.GoAwayFrame:
		log.Fatalf("the server sends calls away: %v", frame.ErrCode)
	}
}

func (c *connection) finish(id uint32, made *call, status string) {
	delete(c.calls, id)
	made.end, made.status = time.Now(), status
	made.answered <- made
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
