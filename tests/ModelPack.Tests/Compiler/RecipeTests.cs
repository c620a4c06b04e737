using ModelPack.Compiler;
using ModelPack.Passes;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Compiler;

public sealed class RecipeTests
{
    private const string Sample = """
        {
          // comments are allowed
          "$schema": "x", "name": "mine", "summary": "s",
          "passes": ["canonicalize", { "pass": "quantize", "format": "int4", "block": 64.0 }],
          "rules": [
            { "match": "*.mlp.*", "quantize": { "format": "int8", "min_elements": 1 } },
            { "match": "*.down.*", "quantize": { "block": 128 } },
            { "match": "frozen.*", "quantize": false },
            { "match": "other.*", "skip": true },
            { "match": "other.but", "quantize": {} }
          ]
        }
        """;

    [Fact]
    public void Parse_sample_and_resolve_fills_in_defaults()
    {
        ResolvedRecipe recipe = Recipe.Parse(Sample).Resolve(PassCatalog.All);

        Assert.Equal("mine", recipe.Name);
        Assert.Equal(["canonicalize", "quantize"], recipe.CreatePasses().Select(p => p.Name));
        Assert.Contains("\"block\": 64,", recipe.ToJson(), StringComparison.Ordinal);
        Assert.Contains("\"scale\": \"auto\"", recipe.ToJson(), StringComparison.Ordinal);
        Assert.Contains("\"lift_min_bytes\": 1024", recipe.ToJson(), StringComparison.Ordinal);
    }

    [Fact]
    public void ToJson_read_again_gives_the_same_text_and_hash()
    {
        ResolvedRecipe once = Recipe.Parse(Sample).Resolve(PassCatalog.All);
        ResolvedRecipe again = Recipe.Parse(once.ToJson()).Resolve(PassCatalog.All);

        Assert.Equal(once.ToJson(), again.ToJson());
        Assert.Equal(once.Hash, again.Hash);
        Assert.Matches("^[0-9a-f]{64}$", once.Hash);
        Assert.NotEqual(once.Hash, Recipe.Parse(Sample).With("quantize.block=32").Resolve(PassCatalog.All).Hash);
    }

    [Theory]
    [InlineData("a.mlp.x", false, "int8", 64)]
    [InlineData("a.mlp.down.x", false, "int8", 128)]
    [InlineData("a.attn.x", false, "int4", 64)]
    [InlineData("frozen.mlp.x", true, null, 0)]
    [InlineData("other.thing", true, null, 0)]
    [InlineData("other.but", false, "int4", 64)]
    public void Rules_last_match_decides_per_option(string tensor, bool skip, string? format, long block)
    {
        Recipe recipe = Recipe.Parse(Sample);
        PassOptions options = PassOptions.Bind(PassCatalog.Get("quantize"), recipe.Passes[1].Options);
        var rules = new TensorRules([.. recipe.Rules.Where(r => r.Skip || r.Passes.ContainsKey("quantize")).Select(r => new TensorRule(r.Match, r.Skip || r.Passes["quantize"] is null, r.Skip ? [] : r.Passes["quantize"] ?? []))]);

        TensorDecision decision = rules.For(tensor, options);

        Assert.Equal(skip, decision.Skip);
        if (!skip)
        {
            Assert.Equal(format, decision.Options.Text("format"));
            Assert.Equal(block, decision.Options.Integer("block"));
        }
    }

    [Theory]
    [InlineData("quantize.block=128", "\"block\": 128")]
    [InlineData("quantize.symmetric=false", "\"symmetric\": false")]
    [InlineData("quantize.exclude=a.*, b", "\"exclude\": [\n        \"a.*\",\n        \"b\"\n      ]")]
    [InlineData("quantize.scale=f16", "\"scale\": \"f16\"")]
    public void With_assignment_replaces_the_option(string assignment, string expected) =>
        Assert.Contains(expected, RecipeCatalog.Get("int4").With(assignment).Resolve(PassCatalog.All).ToJson(), StringComparison.Ordinal);

    [Theory]
    [InlineData("block=3", 2105, "pass.option=value")]
    [InlineData("quantize.block", 2105, "pass.option=value")]
    [InlineData(".block=3", 2105, "pass.option=value")]
    [InlineData("quantise.block=32", 2005, "did you mean 'quantize'")]
    [InlineData("quantize.blok=32", 2003, "did you mean 'block'")]
    [InlineData("quantize.block=33", 2004, "one of: 16, 32")]
    [InlineData("quantize.block=many", 2004, "'many'")]
    [InlineData("quantize.symmetric=1", 2004, "a boolean")]
    [InlineData("quantize.min_elements=-1", 2004, "from 0")]
    [InlineData("quantize.ops=Conv,Lstm", 2004, "an array of: MatMul")]
    public void With_wrong_assignment_is_refused(string assignment, int code, string mention)
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => RecipeCatalog.Get("int4").With(assignment).Resolve(PassCatalog.All));

        Assert.Equal(code, e.Code.Number);
        Assert.Contains(mention, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void With_option_of_a_pass_the_recipe_lacks_is_MP2105()
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => RecipeCatalog.Get("lossless").With("quantize.block=32").Resolve(PassCatalog.All));

        Assert.Equal(ErrorCodes.BadAssignment, e.Code);
    }

    [Theory]
    [InlineData("{", 2101, "")]
    [InlineData("""{"passes":[], "passes":[]}""", 2101, "passes")]
    [InlineData("""{"passes":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}""", 2101, "depth")]
    [InlineData("[]", 2103, "an object")]
    [InlineData("{}", 2103, "passes")]
    [InlineData("""{"passes":{}}""", 2103, "an array")]
    [InlineData("""{"passes":[1]}""", 2103, "passes[0]")]
    [InlineData("""{"passes":[{"format":"int8"}]}""", 2103, "passes[0].pass")]
    [InlineData("""{"passes":[],"name":1}""", 2103, "name")]
    [InlineData("""{"passes":[],"accuracy":"good"}""", 2103, "identical, exact or fast")]
    [InlineData("""{"passes":[],"rulez":[]}""", 2102, "did you mean 'rules'")]
    [InlineData("""{"passes":[],"rules":[{"quantize":{}}]}""", 2104, "'match'")]
    [InlineData("""{"passes":[],"rules":[{"match":"*"}]}""", 2104, "changes nothing")]
    [InlineData("""{"passes":[],"rules":[{"match":"*","skip":true,"quantize":{}}]}""", 2104, "skips all")]
    [InlineData("""{"passes":[],"rules":[{"match":"*","skip":1}]}""", 2103, "skip")]
    [InlineData("""{"passes":[],"rules":[{"match":"*","quantize":7}]}""", 2103, "quantize")]
    [InlineData("""{"passes":[],"rules":[{"match":"*","quantize":{"ends":"keep"}}]}""", 2104, "cannot be set per tensor")]
    [InlineData("""{"passes":[],"rules":[{"match":"*","quantize":{"blok":1}}]}""", 2003, "did you mean 'block'")]
    [InlineData("""{"passes":[],"rules":[{"match":"*","quantize":{"block":1}}]}""", 2004, "block")]
    [InlineData("""{"passes":[],"rules":[{"match":"*","canonicalize":{}}]}""", 2104, "no options per tensor")]
    [InlineData("""{"passes":[],"rules":[{"match":"*","quantise":{}}]}""", 2005, "did you mean 'quantize'")]
    [InlineData("""{"passes":["canonicalise"]}""", 2005, "did you mean 'canonicalize'")]
    [InlineData("""{"passes":[{"pass":"quantize","blok":32}]}""", 2003, "did you mean 'block'")]
    [InlineData("""{"passes":[{"pass":"quantize","block":"32"}]}""", 2004, "\"32\"")]
    [InlineData("""{"passes":[{"pass":"quantize","block":null}]}""", 2004, "null")]
    [InlineData("""{"passes":[{"pass":"quantize","search":"int5"}]}""", 2004, "none, mse")]
    public void Parse_and_resolve_wrong_recipe_is_refused(string json, int code, string mention)
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => Recipe.Parse(json).Resolve(PassCatalog.All));

        Assert.Equal(code, e.Code.Number);
        Assert.Contains(mention, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Formats_are_replaced_everywhere_and_the_resolved_recipe_reads_back()
    {
        ResolvedRecipe recipe = Recipe.Parse("""
            {
              "formats": { "my-int": "int4(block=64,search=mse)", "rough": "my-int(block=128)" },
              "passes": [{ "pass": "quantize", "format": "my-int" }],
              "rules": [
                { "match": "a.*", "quantize": { "format": "rough(scale=f16)" } },
                { "match": "b.*", "quantize": { "format": "nf4(block=128)", "min_elements": 1 } },
                { "match": "c.*", "quantize": false }
              ]
            }
            """).With("quantize.block=32").Resolve(PassCatalog.All);

        Assert.Equal("int4(block=64,search=mse)", recipe.Steps[0].Options.Text("format"));
        Assert.Equal("int4(block=128,scale=f16,search=mse)", recipe.RulesFor(recipe.Steps[0].Factory).For("a.x", recipe.Steps[0].Options).Options.Text("format"));
        Assert.Equal("nf4(block=128)", recipe.RulesFor(recipe.Steps[0].Factory).For("b.x", recipe.Steps[0].Options).Options.Text("format"));
        Assert.Equal(["my-int: int4(block=64,search=mse)", "rough: int4(block=128,search=mse)"], recipe.Formats.Select(f => $"{f.Key}: {f.Value}"));
        Assert.DoesNotContain("my-int", recipe.ToJson(), StringComparison.Ordinal);
        Assert.Equal(recipe.ToJson(), Recipe.Parse(recipe.ToJson()).Resolve(PassCatalog.All).ToJson());
    }

    [Fact]
    public void With_assignment_may_name_a_format_of_the_recipe()
    {
        Recipe recipe = Recipe.Parse("""{"formats":{"mine":"nf4(block=256)"},"passes":["quantize"]}""");

        Assert.Equal("nf4(block=256)", recipe.With("quantize.format=mine").Resolve(PassCatalog.All).Steps[0].Options.Text("format"));
    }

    [Theory]
    [InlineData("""{"formats":{"f":"float(exponent=3,mantissa=2,block=32,scale=e8m0)","f":"int4"},"passes":[]}""", 2101, "f")]
    [InlineData("""{"formats":[],"passes":[]}""", 2103, "formats must be an object")]
    [InlineData("""{"formats":{"a":4},"passes":[]}""", 2103, "formats.a must be a string")]
    [InlineData("""{"formats":{"a":"int4","a":"int8"},"passes":[]}""", 2101, "a")]
    [InlineData("""{"formats":{"a":"int44"},"passes":[]}""", 2106, "formats.a: unknown number format 'int44'; did you mean 'int4'?")]
    [InlineData("""{"formats":{"a":"int4(block)"},"passes":[]}""", 2106, "formats.a: 'int4(block)' is not of the form")]
    [InlineData("""{"formats":{"int4":"int4(block=64)"},"passes":[]}""", 2106, "formats.int4: a number format has that name already")]
    [InlineData("""{"formats":{"bf16":"f16"},"passes":[]}""", 2106, "has that name already")]
    [InlineData("""{"formats":{"Mine":"int4"},"passes":[]}""", 2106, "lower-case")]
    [InlineData("""{"formats":{"":"int4"},"passes":[]}""", 2106, "lower-case")]
    [InlineData("""{"formats":{"a":"a"},"passes":[]}""", 2106, "defined by itself: a -> a")]
    [InlineData("""{"formats":{"a":"b(block=64)","b":"c","c":"a"},"passes":[]}""", 2106, "defined by itself: a -> b -> c -> a")]
    [InlineData("""{"formats":{"mine":"int4"},"passes":[{"pass":"quantize","format":"mien"}]}""", 2004, "unknown number format 'mien'; did you mean 'mine'?")]
    [InlineData("""{"formats":{"mine":"int4"},"passes":[{"pass":"quantize","format":"mine(block"}]}""", 2004, "not of the form")]
    [InlineData("""{"passes":["quantize"],"rules":[{"match":"*","quantize":{"format":"int5x"}}]}""", 2004, "did you mean 'int5'?")]
    public void Formats_wrong_definitions_and_uses_are_refused(string json, int code, string mention)
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => Recipe.Parse(json).Resolve(PassCatalog.All));

        Assert.Equal(code, e.Code.Number);
        Assert.Contains(mention, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Load_names_the_file_in_errors_and_takes_its_name()
    {
        using var folder = new TempFolder();
        string good = Path.Combine(folder.Path, "nice.json");
        string bad = Path.Combine(folder.Path, "bad.json");
        File.WriteAllText(good, """{"passes":["canonicalize"]}""");
        File.WriteAllText(bad, """{"passes":7}""");

        Assert.Equal("nice", RecipeCatalog.Get(good).Name);
        Assert.StartsWith($"{bad}: error MP2103: ", Assert.Throws<ModelPackException>(() => RecipeCatalog.Get(bad)).Line, StringComparison.Ordinal);
        Assert.Equal(ErrorCodes.FileNotFound, Assert.Throws<ModelPackException>(() => RecipeCatalog.Get(Path.Combine(folder.Path, "none.json"))).Code);
    }

    [Fact]
    public void Get_unknown_name_is_MP2100_with_a_suggestion()
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => RecipeCatalog.Get("int44"));

        Assert.Equal(ErrorCodes.UnknownRecipe, e.Code);
        Assert.Contains("did you mean 'int4'", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Get_null_is_the_default() => Assert.Equal(RecipeCatalog.DefaultName, RecipeCatalog.Get(null).Name);

    [Fact]
    public void Built_in_names_are_exactly_the_sample_files() =>
        Assert.Equal(
            RecipeCatalog.Names.Order(StringComparer.Ordinal),
            Directory.GetFiles(RepositoryTree.PathTo("samples", "recipes"), "*.json").Select(f => Path.GetFileNameWithoutExtension(f)).Order(StringComparer.Ordinal));

    [Theory]
    [InlineData("""{"match":"a.*","quantize":{"format":"int4"}}""", "")]
    [InlineData("""{"match":"nothing.*","quantize":{"format":"int4"}}""", "rules[0] matches no tensor: 'nothing.*'")]
    [InlineData("""{"match":"nothing.*","skip":true}""", "rules[0] matches no tensor: 'nothing.*'")]
    [InlineData("""{"match":"a.*","quantize":{"format":"int4"}},{"match":"a.w","quantize":{"format":"nf4"}}""", "")] // a.v is still the first one's.
    [InlineData("""{"match":"a.w","quantize":{"format":"int4"}},{"match":"a.*","quantize":{"format":"nf4"}}""", "rules[0] ('a.w') is without effect: it conflicts with later rules such as rules[1] ('a.*'), which decide for all of its tensors")]
    [InlineData("""{"match":"a.w","quantize":{"format":"int4","block":64}},{"match":"a.*","quantize":{"format":"int8"}}""", "")] // The block size stays.
    [InlineData("""{"match":"a.w","quantize":{"format":"int4"}},{"match":"a.*","skip":true}""", "rules[0] ('a.w') is without effect: it conflicts with later rules such as rules[1] ('a.*'), which decide for all of its tensors")]
    [InlineData("""{"match":"a.*","skip":true},{"match":"a.*","quantize":{"format":"int4"}}""", "rules[0] ('a.*') is without effect: it conflicts with later rules such as rules[1] ('a.*'), which decide for all of its tensors")]
    [InlineData("""{"match":"a.*","quantize":false},{"match":"a.w","quantize":{"format":"int4"}}""", "")]
    public void RuleWarnings_nameRulesThatDoNothing(string rules, string expected)
    {
        Recipe recipe = Recipe.Parse($$"""{"name":"r","passes":["quantize"],"rules":[{{rules}}]}""");
        Assert.Equal(expected, string.Join('\n', recipe.Resolve(PassCatalog.All).RuleWarnings(["a.v", "a.w", "b"])));
    }

    [Fact]
    public void Committed_schema_equals_the_generated_one() =>
        Assert.Equal(File.ReadAllText(RepositoryTree.PathTo("passes", "recipe.schema.json")), RecipeSchema.Generate(PassCatalog.All));
}
