package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/fleet"
)

// Presence keeps who is alive in a table, by the database's clock.
type Presence struct{ db *DB }

var _ fleet.Presence = Presence{}

// Presence gives the database as a presence.
func (db *DB) Presence() Presence { return Presence{db} }

// Beat notes that an instance lives; see fleet.Presence. It removes who has been
// silent for an hour.
func (p Presence) Beat(ctx context.Context, i fleet.Instance) error {
	data, err := document(i)
	if err != nil {
		return err
	}
	return p.db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := exec(ctx, tx, `
			INSERT INTO onemind.instances (boot, name, data, seen_at) VALUES ($1, $2, $3::text::jsonb, clock_timestamp())
			ON CONFLICT (boot) DO UPDATE SET name = excluded.name, data = excluded.data, seen_at = excluded.seen_at`, i.Boot, i.Name, data); err != nil {
			return err
		}
		_, err := exec(ctx, tx, `DELETE FROM onemind.instances WHERE seen_at < clock_timestamp() - interval '1 hour'`)
		return err
	})
}

// Leave forgets an instance; see fleet.Presence.
func (p Presence) Leave(ctx context.Context, boot string) error {
	return p.db.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := exec(ctx, tx, `DELETE FROM onemind.instances WHERE boot = $1`, boot)
		return err
	})
}

// Instances lists who has beaten within the last minute; see fleet.Presence.
func (p Presence) Instances(ctx context.Context) (found []fleet.Instance, err error) {
	err = p.db.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		found, err = list(ctx, c, func(r *row) fleet.Instance {
			var i fleet.Instance
			r.json(&i)
			i.Age = max(0, time.Duration(r.int())*time.Millisecond)
			return i
		}, `SELECT data::text, (extract(epoch FROM clock_timestamp() - seen_at) * 1000)::bigint FROM onemind.instances
			WHERE seen_at > clock_timestamp() - interval '1 minute' ORDER BY name, boot`)
		return err
	})
	return found, err
}
