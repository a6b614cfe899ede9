// render - a chart as Helm's engine renders it: Go's text/template, sprig, and the
// functions that Helm adds. `lookup` finds nothing, as in `helm template`.
//
//	render CHART VALUES.yaml RELEASE NAMESPACE SERVICE < /dev/null
//
// VALUES.yaml are merged already. Prints the documents with the name of their template.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

func read(path string, into interface{}) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func functions(t *template.Template) template.FuncMap {
	f := sprig.TxtFuncMap()
	delete(f, "env")
	delete(f, "expandenv")
	f["toYaml"] = func(v interface{}) string {
		text, err := yaml.Marshal(v)
		if err != nil {
			return ""
		}
		return strings.TrimSuffix(string(text), "\n")
	}
	f["fromYaml"] = func(text string) map[string]interface{} {
		m := map[string]interface{}{}
		if err := yaml.Unmarshal([]byte(text), &m); err != nil {
			m["Error"] = err.Error()
		}
		return m
	}
	f["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := t.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	f["fail"] = func(text string) (string, error) { return "", errors.New(text) }
	f["lookup"] = func(string, string, string, string) map[string]interface{} {
		return map[string]interface{}{}
	}
	return f
}

func main() {
	chart := map[string]interface{}{}
	values := map[string]interface{}{}
	read(filepath.Join(os.Args[1], "Chart.yaml"), &chart)
	read(os.Args[2], &values)
	about := map[string]interface{}{"Name": chart["name"], "Version": chart["version"],
		"AppVersion": chart["appVersion"]}
	data := map[string]interface{}{"Values": values, "Chart": about,
		"Release": map[string]interface{}{"Name": os.Args[3], "Namespace": os.Args[4],
			"Service": os.Args[5], "IsInstall": true, "IsUpgrade": false, "Revision": 1}}
	t := template.New("chart").Option("missingkey=zero")
	t.Funcs(functions(t))
	paths, _ := filepath.Glob(filepath.Join(os.Args[1], "templates", "*"))
	sort.Strings(paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err == nil {
			_, err = t.New(filepath.Base(path)).Parse(string(text))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	for _, path := range paths {
		name := filepath.Base(path)
		if strings.HasPrefix(name, "_") {
			continue
		}
		var out bytes.Buffer
		if err := t.ExecuteTemplate(&out, name, data); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		// Helm leaves "<no value>" of what is missing empty
		text := strings.ReplaceAll(out.String(), "<no value>", "")
		fmt.Printf("---\n# Source: %s\n%s\n", name, strings.TrimSpace(text))
	}
}
