//go:build tools

package tools

import (
	_ "github.com/fluid-cloudnative/fluid/cmd/alluxio"
	_ "github.com/fluid-cloudnative/fluid/cmd/csi"
	_ "github.com/fluid-cloudnative/fluid/cmd/dataset"
	_ "github.com/fluid-cloudnative/fluid/cmd/thin"
	_ "github.com/fluid-cloudnative/fluid/cmd/webhook"
)
