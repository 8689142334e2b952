//go:build tools

// Package tools names what is built here: kaniko, whose newest version in the public module proxy is this one.
package tools

import _ "github.com/chainguard-dev/kaniko/cmd/executor"
