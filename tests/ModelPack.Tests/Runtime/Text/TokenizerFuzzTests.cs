using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Runtime.Text;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Runtime.Text;

/// <summary>Damaged files are errors with a code, and what is read in spite of the damage encodes and decodes without a crash.</summary>
public sealed class TokenizerFuzzTests
{
    [Fact]
    public void Parse_mutations_areKnownErrors()
    {
        FuzzReport report = Fuzzer.Fuzz(Small(), 4000, bytes =>
        {
            BytePairTokenizer tokenizer = BytePairTokenizer.Parse(bytes);
            tokenizer.Decode(tokenizer.Encode("ab 12 <a> é😀"));
        });
        Assert.InRange(report.RejectedCount, 500, 4000);
        Assert.True(report.Accepted > 0);
    }

    /// <summary>Bytes, two merges, and every section.</summary>
    private static byte[] Small()
    {
        var vocabulary = new JsonObject();
        for (int b = 0; b < 256; b++)
        {
            vocabulary[ByteAlphabet.Of((byte)b).ToString()] = b;
        }

        vocabulary["ab"] = 256;
        vocabulary["aba"] = 257;
        JsonObject root = JsonNode.Parse("""
            {"added_tokens":[{"id":258,"content":"<a>","special":true,"lstrip":true,"normalized":false}],
             "normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"}]},
             "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},
              {"type":"Split","pattern":{"Regex":"\\s?\\p{L}+|[^a-z]+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]},
             "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x","type_id":0}},{"Sequence":{"id":"A"}}],"special_tokens":{"x":{"ids":[258]}}},
             "decoder":{"type":"ByteLevel"},
             "model":{"type":"BPE","ignore_merges":false,"merges":["a b",["ab","a"]]}}
            """)!.AsObject();
        root["model"]!["vocab"] = vocabulary;
        return Encoding.UTF8.GetBytes(root.ToJsonString());
    }
}
