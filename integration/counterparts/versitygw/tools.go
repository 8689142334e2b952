//go:build tools

// Package tools names what is built here: versitygw, a service of S3 whose objects are files.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
