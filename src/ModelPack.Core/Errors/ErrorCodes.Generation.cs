namespace ModelPack;

public static partial class ErrorCodes
{
    // MP5030-5039: tokenizers and text generation.
    public static readonly ErrorCode NoTokenizer = new(5030, "the model carries no tokenizer");
    public static readonly ErrorCode BadTokenizer = new(5031, "tokenizer.json, config.json or generation_config.json is damaged or contradicts itself");
    public static readonly ErrorCode TokenizerNotSupported = new(5032, "tokenizer.json asks for something that is not supported");
    public static readonly ErrorCode BadPrompt = new(5033, "the prompt is empty or does not fit the model's context");
    public static readonly ErrorCode BadLogits = new(5034, "the model's logits are not numbers to choose a token by");
    public static readonly ErrorCode BadChatTemplate = new(5035, "a chat template that is missing, is not understood, or refuses the messages");
    public static readonly ErrorCode CacheIsFixed = new(5036, "another type of keys and values than an artifact was compiled for");
    public static readonly ErrorCode TokenNotInModel = new(5040, "a token of the tokenizer that the model has no embedding for");
    public static readonly ErrorCode TextWithoutTokens = new(5050, "text that the tokenizer's vocabulary has no tokens for");
    public static readonly ErrorCode BadCharacterMap = new(5051, "a tokenizer's table of characters (precompiled_charsmap) that is damaged");
}
