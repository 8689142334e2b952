//go:build tools

// Package tools names what is built here: Gitea, without its pages.
package tools

import _ "code.gitea.io/gitea"
