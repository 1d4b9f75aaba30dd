// Command versitygw is Versity's S3 gateway with what the tests need of it: the posix backend, its
// metadata beside the data, users in a directory. The whole gateway has backends for Azure and
// another S3 besides, which take as long to compile as all of this.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	listen := flag.String("listen", "", "address and port")
	region := flag.String("region", "us-east-1", "the region it says it is in")
	users := flag.String("users", "", "directory of the users")
	sidecar := flag.String("metadata", "", "directory of the objects' metadata")
	data := flag.String("data", "", "directory of the buckets")
	versions := flag.String("versions", "", "directory of older versions; without one there are none")
	keepAlive := flag.Bool("keep-alive", false, "leave connections open")
	integrity := flag.Bool("data-integrity-etag", false, "name objects by a CRC instead of an MD5")
	flag.Parse()

	// The limits are those of versitygw's own command line, v1.8.
	const threshold = 5 << 30
	store, err := meta.NewSideCar(*sidecar)
	if err != nil {
		log.Fatalf("metadata: %v", err)
	}
	options := posix.PosixOpts{
		SideCarDir:          *sidecar,
		VersioningDir:       *versions,
		DataIntegrityEtag:   *integrity,
		CopyObjectThreshold: threshold,
	}
	options.SetNewDirPerm(0o755)
	backend, err := posix.New(*data, store, options)
	if err != nil {
		log.Fatalf("data: %v", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err = embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
		RootUserAccess:    os.Getenv("ROOT_ACCESS_KEY_ID"),
		RootUserSecret:    os.Getenv("ROOT_SECRET_ACCESS_KEY"),
		Region:            *region,
		Ports:             []string{*listen},
		MaxConnections:    250000,
		MaxRequests:       100000,
		MultipartMaxParts: 10000,
		HealthPath:        "/healthz",
		IAMDir:            *users,
		IAMCacheDisable:   true,
		KeepAlive:         *keepAlive,
		Quiet:             true,
	})
	if err != nil {
		log.Fatal(err)
	}
}
