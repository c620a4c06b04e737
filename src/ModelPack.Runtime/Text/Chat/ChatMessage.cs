namespace ModelPack.Runtime.Text;

/// <summary>One message of a conversation.</summary>
/// <param name="Role">Who speaks, in the words of chat templates: <c>system</c>, <c>user</c>, <c>assistant</c>.</param>
/// <param name="Content">What is said.</param>
public sealed record ChatMessage(string Role, string Content);
