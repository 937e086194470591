// SPDX-License-Identifier: Apache-2.0

// The official SDK volcengine-go-sdk, unmodified: signs, retries by itself and returns
// volcengineerr.RequestFailure.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/volcengine/volcengine-go-sdk/volcengine"
	"github.com/volcengine/volcengine-go-sdk/volcengine/credentials"
	"github.com/volcengine/volcengine-go-sdk/volcengine/session"
	"github.com/volcengine/volcengine-go-sdk/volcengine/universal"
	"github.com/volcengine/volcengine-go-sdk/volcengine/volcengineerr"
)

type operation struct {
	Op, ID, Action, Version, Service, Region, Host string
	Data                                           map[string]interface{}
	Keys                                           []string
	Pages                                          int
	Timeout                                        float64
	Retry                                          bool
}

type failure struct {
	Type    string `json:"type"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
}

type outcome struct {
	Status interface{} `json:"status"`
	Body   string      `json:"body"`
	Error  *failure    `json:"error"`
}

func (op *operation) call(api *universal.Universal, page int) (*map[string]interface{}, error) {
	info := universal.RequestUniversal{ServiceName: op.Service, Action: op.Action, Version: op.Version}
	input := map[string]interface{}{"Id": op.ID}
	if page > 0 {
		input["PageNumber"] = fmt.Sprint(page)
	}
	if op.Op == "json" {
		info.HttpMethod, info.ContentType = universal.POST, universal.ApplicationJSON
		input = op.Data
	}
	return api.DoCall(info, &input)
}

func (op *operation) burst(api *universal.Universal) error {
	var group sync.WaitGroup
	failed := make(chan error, op.Pages)
	for n := 1; n <= op.Pages; n++ {
		group.Add(1)
		go func(page int) {
			defer group.Done()
			if _, err := op.call(api, page); err != nil {
				failed <- err
			}
		}(n)
	}
	group.Wait()
	close(failed)
	return <-failed
}

func (op *operation) run() outcome {
	config := volcengine.NewConfig().WithRegion(op.Region).WithDisableSSL(true).
		WithCredentials(credentials.NewStaticCredentials(op.Keys[0], op.Keys[1], ""))
	if op.Host != "" {
		config.WithEndpoint(op.Host)
	}
	if op.Timeout > 0 {
		config.WithHTTPClient(&http.Client{Timeout: time.Duration(op.Timeout * float64(time.Second))})
	}
	if !op.Retry {
		config.WithMaxRetries(0)
	}
	sess, err := session.NewSession(config)
	if err != nil {
		return outcome{Error: &failure{Type: "NewSession", Message: err.Error()}}
	}
	api := universal.New(sess)
	var answer *map[string]interface{}
	if op.Pages > 0 {
		err = op.burst(api)
	} else {
		answer, err = op.call(api, 0)
	}
	var refused volcengineerr.RequestFailure
	var other volcengineerr.Error
	if errors.As(err, &refused) {
		return outcome{Status: refused.StatusCode(),
			Error: &failure{"RequestFailure", refused.Code(), refused.Error()}}
	}
	if errors.As(err, &other) {
		kind := other.Code()
		var late net.Error
		if errors.As(other.OrigErr(), &late) && late.Timeout() {
			kind = "Timeout"
		}
		return outcome{Error: &failure{Type: kind, Message: other.Error()}}
	}
	if err != nil {
		return outcome{Error: &failure{Type: fmt.Sprintf("%T", err), Message: err.Error()}}
	}
	body, _ := json.Marshal(answer)
	return outcome{Status: 200, Body: string(body)}
}

func main() {
	if os.Args[1] == "version" {
		fmt.Println(volcengine.SDKVersion)
		return
	}
	var op operation
	if err := json.Unmarshal([]byte(os.Args[1]), &op); err != nil {
		panic(err)
	}
	json.NewEncoder(os.Stdout).Encode(op.run())
}
