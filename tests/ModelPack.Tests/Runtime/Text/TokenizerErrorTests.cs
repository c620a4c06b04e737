using ModelPack.Runtime.Text;
using Xunit;

namespace ModelPack.Tests.Runtime.Text;

/// <summary>What is not supported, damaged or contradictory is refused by name.</summary>
public sealed class TokenizerErrorTests
{
    [Theory]
    [InlineData("model.type", "\"Unigram\"", "'Unigram'")]
    [InlineData("model.type", "\"WordPiece\"", "'WordPiece'")]
    [InlineData("model.byte_fallback", "true", "for a vocabulary with byte_fallback")]
    [InlineData("model.dropout", "0.1", "dropout")]
    [InlineData("model.continuing_subword_prefix", "\"##\"", "continuing_subword_prefix '##'")]
    [InlineData("model.end_of_word_suffix", "\"</w>\"", "end_of_word_suffix '</w>'")]
    [InlineData("normalizer", """{"type":"BertNormalizer"}""", "normalizer of type 'BertNormalizer'")]
    [InlineData("normalizer", """{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"ByteLevel"}]}""", "normalizer of type 'ByteLevel'")]
    [InlineData("pre_tokenizer", "null", "without a pre_tokenizer")]
    [InlineData("pre_tokenizer", """{"type":"Metaspace"}""", "pre_tokenizer of type 'Metaspace'")]
    [InlineData("pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Punctuation"},{"type":"ByteLevel"}]}""", "pre_tokenizer of type 'Punctuation'")]
    [InlineData("pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"String":"a"},"behavior":"MergedWithNext"},{"type":"ByteLevel"}]}""", "behavior 'MergedWithNext'")]
    [InlineData("pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Isolated"},{"type":"ByteLevel"}]}""", @"'\w'")]
    [InlineData("pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[a[b]]"},"behavior":"Isolated"},{"type":"ByteLevel"}]}""", "a class inside a class")]
    [InlineData("pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[a&&b]"},"behavior":"Isolated"},{"type":"ByteLevel"}]}""", "'&&'")]
    [InlineData("pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"a$"},"behavior":"Isolated"},{"type":"ByteLevel"}]}""", "'$'")]
    [InlineData("pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{L}?+"},"behavior":"Isolated"},{"type":"ByteLevel"}]}""", "regular expression")]
    [InlineData("pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{Han}"},"behavior":"Isolated"},{"type":"ByteLevel"}]}""", "regular expression")]
    [InlineData("post_processor", """{"type":"XlnetProcessing"}""", "post_processor of type 'XlnetProcessing'")]
    [InlineData("post_processor", """{"type":"TemplateProcessing","single":[]}""", "a template with 0 texts")]
    [InlineData("decoder", "null", "without a decoder")]
    [InlineData("decoder", """{"type":"WordPiece"}""", "decoder of type 'WordPiece'")]
    [InlineData("added_tokens", """[{"id":4096,"content":"<a>","single_word":true}]""", "single_word of '<a>'")]
    [InlineData("model.vocab", """{"a":0}""", "without a token for the byte 0x00")]
    public void Parse_unsupported_isMP5032(string name, string json, string named) => AssertError(ErrorCodes.TokenizerNotSupported, name, json, named);

    [Theory]
    [InlineData("model", "null", "'model' is missing")]
    [InlineData("model", "[]", "model is not an object")]
    [InlineData("model.vocab", "null", "model: 'vocab' is missing")]
    [InlineData("model.vocab", """{"a":-1}""", "-1, not a whole number")]
    [InlineData("model.vocab", """{"a":0,"b":0}""", "have the id 0")]
    [InlineData("model.merges", """["a"]""", "'a' is not a pair")]
    [InlineData("model.merges", """[["a","b","c"]]""", "model.merges[0] is not a pair")]
    [InlineData("model.merges", """["Z Z"]""", "'ZZ' is not in the vocabulary")]
    [InlineData("model.ignore_merges", "1", "model.ignore_merges is not true or false")]
    [InlineData("added_tokens", """[{"id":1,"content":""}]""", "token 1 is empty")]
    [InlineData("added_tokens", """[{"id":4096,"content":"<a>"},{"id":4096,"content":"<b>"}]""", "there twice")]
    [InlineData("added_tokens", """[{"id":4096,"content":"!"}]""", "in the vocabulary 1")]
    [InlineData("pre_tokenizer", """{"type":7}""", "pre_tokenizer.type is not a string")]
    public void Parse_damaged_isMP5031(string name, string json, string named) => AssertError(ErrorCodes.BadTokenizer, name, json, named);

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("""{"model":{"vocab":{"\uD800":0}}}""")]
    [InlineData("""{"\uD800":0}""")]
    public void Parse_noTokenizer_isMP5031(string json) => Assert.Equal(ErrorCodes.BadTokenizer, Assert.Throws<ModelPackException>(() => TokenizerCase.Parse(json)).Code);

    private static void AssertError(ErrorCode code, string name, string json, string named)
    {
        var error = Assert.Throws<ModelPackException>(() => TokenizerCase.Load(name, json));
        Assert.Equal(code, error.Code);
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
        Assert.StartsWith(BytePairTokenizer.FileName, error.Message, StringComparison.Ordinal);
    }
}
