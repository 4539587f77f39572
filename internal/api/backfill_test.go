package api

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
)

func TestBackfillIsTold(t *testing.T) {
	f := newFake()
	c := newClient(t, f, Options{})
	m := c.do("GET", "/v1/backfill", "").status(200).json()
	if m["progress"] != 1.0 || len(m["features"].([]any)) != 0 || m["of"] != nil {
		t.Errorf("without one: %v", m)
	}
	if page := browse(c.server, "/").Body.String(); !strings.Contains(page, `id="backfill" class="note" hidden`) {
		t.Error("without one the page does not hide the line")
	}
	f.status.Backfill = engine.Backfill{Features: []string{"a", "b"}, Formulas: []string{"f"}, Activation: 7, From: 1, Position: 250, Of: 1000, Rate: 1234.4, Left: 90 * time.Second}
	m = c.do("GET", "/v1/backfill", "").status(200).json()
	if m["progress"] != 0.25 || len(m["features"].([]any)) != 2 || len(m["formulas"].([]any)) != 1 || m["of"] != 1000.0 || m["position"] != 250.0 || m["rate"] != 1234.0 || m["seconds_left"] != 90.0 {
		t.Errorf("while one runs: %v", m)
	}
	for _, address := range []string{"/", "/?lang=zh"} {
		page := browse(c.server, address).Body.String()
		if strings.Contains(page, `id="backfill" class="note" hidden`) || !strings.Contains(page, "25") || !strings.Contains(page, "1m30s") || !strings.Contains(page, "a, b") || !strings.Contains(page, "read them: f.") && !strings.Contains(page, "公式：f。") {
			t.Errorf("%s does not show the backfill", address)
		}
	}
	f.status.Backfill.Left, f.status.Backfill.Waits = 0, true
	if m = c.do("GET", "/v1/backfill", "").status(200).json(); m["waits"] != true || m["progress"] != 0.0 {
		t.Errorf("while it waits: %v", m)
	}
}
